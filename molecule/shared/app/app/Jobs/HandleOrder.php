<?php

// The queued half of an order: a worker marks it as handled in MariaDB.

namespace App\Jobs;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Log;
use Illuminate\Support\Facades\Storage;

class HandleOrder implements ShouldQueue
{
    use Dispatchable, InteractsWithQueue, Queueable;

    public int $tries = 3;

    public int $backoff = 2;

    /** A file that says how many milliseconds an order takes; without it, as long as it takes. */
    public const PACE = 'order-pace';

    public function __construct(public readonly int $order)
    {
    }

    public function handle(): void
    {
        clearstatcache(); // a worker lives long, and PHP remembers what it has seen
        if (Storage::exists(self::PACE)) {
            usleep(1000 * (int) Storage::get(self::PACE));
        }
        DB::table('orders')->where('id', $this->order)->update(['handled_at' => now()]);
        Log::info('order handled', ['order' => $this->order]);
    }
}
