<?php

// Where templates are, and where their compiled form is kept.

return [
    'paths' => [resource_path('views')],
    'compiled' => storage_path('framework/views'),
];
