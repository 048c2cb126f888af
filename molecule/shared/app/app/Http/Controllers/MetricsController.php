<?php

// What the application counts, in the text form Prometheus reads.

namespace App\Http\Controllers;

use App\Console\Kernel;
use App\Health\Dependencies;
use App\Http\Middleware\CountRequests;
use Illuminate\Http\Response;
use Illuminate\Queue\QueueManager;
use Illuminate\Support\Facades\Cache;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Redis;

class MetricsController
{
    public function __invoke(QueueManager $queues, Dependencies $dependencies): Response
    {
        $lines = [];
        $found = $dependencies->check();
        foreach ($found as $name => $result) {
            $lines[] = sprintf('chom_dependency_up{dependency="%s"} %d', $name, $result['connected']);
        }
        if ($found['redis']['connected']) {
            $lines = [...$lines, ...$this->queues($queues)];
        }
        if ($found['database']['connected']) {
            $lines[] = 'chom_failed_jobs '.DB::table('failed_jobs')->count();
            $lines[] = 'chom_orders_total '.DB::table('orders')->count();
            $lines[] = 'chom_orders_handled_total '.DB::table('orders')->whereNotNull('handled_at')->count();
        }

        return response(implode("\n", $lines)."\n", 200, ['Content-Type' => 'text/plain; version=0.0.4; charset=utf-8']);
    }

    /** @return list<string> */
    private function queues(QueueManager $queues): array
    {
        $lines = [];
        foreach (['default', 'emails'] as $queue) {
            $lines[] = sprintf('chom_queue_depth{queue="%s"} %d', $queue, $queues->connection()->size($queue));
        }
        foreach (Redis::connection('default')->hgetall(CountRequests::KEY) as $status => $count) {
            $lines[] = sprintf('chom_http_requests_total{status="%d"} %d', $status, $count);
        }
        $lines[] = 'chom_scheduler_last_tick_timestamp_seconds '.(int) Cache::get(Kernel::TICK, 0);

        return $lines;
    }
}
