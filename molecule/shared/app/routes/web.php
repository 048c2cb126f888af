<?php

// Every address the application answers.

use App\Http\Controllers\HealthController;
use App\Http\Controllers\InvoiceController;
use App\Http\Controllers\MetricsController;
use App\Http\Controllers\OrderController;
use Illuminate\Support\Facades\Route;

Route::middleware('page')->get('/', static fn () => view('welcome'));
Route::get('/orders', [OrderController::class, 'index']);
Route::get('/search', [OrderController::class, 'index']);
Route::post('/orders', [OrderController::class, 'store']);
Route::post('/orders/many', [OrderController::class, 'storeMany']);
Route::post('/invoices', InvoiceController::class);
Route::get('/health/ready', [HealthController::class, 'ready']);
Route::get('/health/live', [HealthController::class, 'live']);
Route::get('/health/dependencies', [HealthController::class, 'dependencies']);
Route::get('/health/security', [HealthController::class, 'security']);
Route::get('/metrics', MetricsController::class);
