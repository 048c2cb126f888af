<?php return 'unnamed'; // the name of this release, for /health/live; whoever makes a release writes it
