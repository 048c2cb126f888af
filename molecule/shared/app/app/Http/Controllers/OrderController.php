<?php

// Orders: what the application is for. Each one is a row, a receipt in storage, a log line and a job.

namespace App\Http\Controllers;

use App\Jobs\HandleOrder;
use Illuminate\Http\JsonResponse;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Log;
use Illuminate\Support\Facades\Queue;
use Illuminate\Support\Facades\Storage;

class OrderController
{
    public function index(): JsonResponse
    {
        return response()->json([
            'orders' => DB::table('orders')->count(),
            'handled' => DB::table('orders')->whereNotNull('handled_at')->count(),
            'last' => DB::table('orders')->orderByDesc('id')->limit(10)->get(),
        ]);
    }

    public function store(Request $request): JsonResponse
    {
        $item = mb_substr((string) $request->input('item', 'something'), 0, 200);
        $order = DB::transaction(static function () use ($item): int {
            $order = DB::table('orders')->insertGetId(['item' => $item, 'created_at' => now()]);
            Storage::put("receipts/$order.txt", "Order $order: $item\n");
            Log::info('order received', ['order' => $order]);

            return $order;
        });
        HandleOrder::dispatch($order);

        return response()->json(['order' => $order], 201);
    }

    public function storeMany(Request $request): JsonResponse
    {
        $count = max(1, min(10000, (int) $request->input('count', 1)));
        $queue = $request->input('queue') === 'emails' ? 'emails' : 'default';
        $orders = array_map(
            static fn (): int => DB::table('orders')->insertGetId(['item' => 'one of many', 'created_at' => now()]),
            range(1, $count),
        );
        Queue::bulk(array_map(static fn (int $order): HandleOrder => new HandleOrder($order), $orders), '', $queue);

        return response()->json(['orders' => $count], 201);
    }
}
