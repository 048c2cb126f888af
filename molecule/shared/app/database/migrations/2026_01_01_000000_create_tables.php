<?php

// Orders, the probe rows of the health check, and the failed jobs of the queue.

use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\Schema;

return new class extends Migration
{
    public function up(): void
    {
        Schema::create('orders', static function (Blueprint $table): void {
            $table->id();
            $table->string('item');
            $table->timestamp('created_at')->nullable();
            $table->timestamp('handled_at')->nullable();
        });
        Schema::create('health', static function (Blueprint $table): void {
            $table->unsignedBigInteger('id')->primary();
            $table->string('token');
            $table->timestamp('written_at')->nullable();
        });
        Schema::create('failed_jobs', static function (Blueprint $table): void {
            $table->id();
            $table->string('uuid')->unique();
            $table->text('connection');
            $table->text('queue');
            $table->longText('payload');
            $table->longText('exception');
            $table->timestamp('failed_at')->useCurrent();
        });
    }

    public function down(): void
    {
        Schema::dropIfExists('failed_jobs');
        Schema::dropIfExists('health');
        Schema::dropIfExists('orders');
    }
};
