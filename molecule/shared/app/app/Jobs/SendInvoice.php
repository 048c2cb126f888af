<?php

// Hands an invoice to a partner who has gone away: it fails, is put back into the queue, and fails again,
// for as long as there is no sign (a file in storage) that the partner is back.

namespace App\Jobs;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Support\Facades\Storage;
use RuntimeException;

class SendInvoice implements ShouldQueue
{
    use Dispatchable, InteractsWithQueue, Queueable;

    public const PARTNER = 'partner-is-back';

    public int $tries = 30000;

    public function __construct(
        public readonly int $invoice,
        public readonly string $remark,
        public readonly bool $patient,
    ) {
    }

    /** A patient one waits for an hour once it was tried often; the others try again at once. */
    public function backoff(): array
    {
        return $this->patient ? [...array_fill(0, 20, 0), 3600] : [0];
    }

    public function handle(): void
    {
        clearstatcache(); // a worker lives long, and PHP remembers what it has seen
        if (! Storage::exists(self::PARTNER)) {
            throw new RuntimeException("the partner does not take invoice $this->invoice");
        }
    }
}
