<?php

// Invoices go to a partner by the queue.

namespace App\Http\Controllers;

use App\Jobs\SendInvoice;
use Illuminate\Http\JsonResponse;
use Illuminate\Http\Request;

class InvoiceController
{
    public function __invoke(Request $request): JsonResponse
    {
        $count = max(1, min(1000, (int) $request->input('count', 1)));
        $patient = (bool) $request->input('patient', false);
        foreach (range(1, $count) as $invoice) {
            SendInvoice::dispatch($invoice, "Größe \u{1F9FE} \"$invoice\" a/b \\ \t<&>", $patient);
        }

        return response()->json(['invoices' => $count], 201);
    }
}
