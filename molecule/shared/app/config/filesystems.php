<?php

// One disk: the application's own storage directory.

return [
    'default' => 'local',
    'disks' => ['local' => ['driver' => 'local', 'root' => storage_path('app'), 'throw' => true]],
];
