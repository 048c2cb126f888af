<!doctype html>
<html lang="en">
<title>chom</title>
<h1>chom</h1>
<p>{{ \Illuminate\Support\Facades\DB::table('orders')->count() }} orders so far.</p>
</html>
