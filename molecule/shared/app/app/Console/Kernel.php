<?php

// Commands and the schedule: one tick a minute, whose age /metrics shows.

namespace App\Console;

use Illuminate\Console\Scheduling\Schedule;
use Illuminate\Foundation\Console\Kernel as ConsoleKernel;
use Illuminate\Support\Facades\Cache;

class Kernel extends ConsoleKernel
{
    public const TICK = 'scheduler:tick';

    protected function schedule(Schedule $schedule): void
    {
        $schedule->call(static fn () => Cache::forever(self::TICK, time()))->name('tick')->everyMinute();
    }
}
