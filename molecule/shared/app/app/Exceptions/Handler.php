<?php

// Errors go to the log and, as JSON, to whoever asked. When the log itself cannot be written
// (a full disk), the framework's last resort is PHP's own error log, which both layouts collect.

namespace App\Exceptions;

use Illuminate\Foundation\Exceptions\Handler as ExceptionHandler;
use Throwable;

class Handler extends ExceptionHandler
{
    public function report(Throwable $error): void
    {
        try {
            parent::report($error);
        } catch (Throwable $while) {
            error_log($error->getMessage().'; and it could not be logged: '.$while->getMessage());
        }
    }

    protected function shouldReturnJson($request, Throwable $error): bool
    {
        return true;
    }
}
