<?php

// Answers 503 between `artisan down` and `artisan up`, but stays observable.

namespace App\Http\Middleware;

use Illuminate\Foundation\Http\Middleware\PreventRequestsDuringMaintenance;

class RefuseDuringMaintenance extends PreventRequestsDuringMaintenance
{
    protected $except = ['health/live', 'health/dependencies', 'health/security', 'metrics'];
}
