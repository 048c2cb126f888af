<?php

// Loads the routes.

namespace App\Providers;

use Illuminate\Foundation\Support\Providers\RouteServiceProvider as ServiceProvider;

class RouteServiceProvider extends ServiceProvider
{
    public function boot(): void
    {
        $this->routes(fn () => $this->loadRoutesFrom(base_path('routes/web.php')));
    }
}
