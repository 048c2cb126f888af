# Functions that both layouts share when the application is laid out for the first time.

# Where the lab put the application's code.
application_source=/usr/local/share/chom

# release_name DAYS: the name of a release that was made so many days ago.
release_name() {
    echo "$(date --utc --date "$1 days ago" +%Y%m%d)-093000"
}

# lay_code DIRECTORY RELEASE
lay_code() {
    cp -a "$application_source/." "$1/"
    echo "<?php return '$2'; // the name of this release, for /health/live" >"$1/release.php"
}

# make_storage DIRECTORY
make_storage() {
    for directory in app framework/cache/data framework/sessions framework/views logs; do
        mkdir -p "$1/$directory"
    done
    touch "$1/logs/laravel.log"
    chown -R www-data:www-data "$1"
}

# write_environment FILE DATABASE_HOST REDIS_HOST
write_environment() {
    [ ! -e "$1" ] || return 0
    cat >"$1" <<SETTINGS
APP_ENV=production
APP_DEBUG=false
APP_KEY=base64:$(head -c 32 /dev/urandom | base64)
APP_PACKAGES_CACHE=storage/framework/packages.php
APP_SERVICES_CACHE=storage/framework/services.php
DB_HOST=$2
DB_DATABASE=chom
DB_USERNAME=chom
DB_PASSWORD=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
REDIS_HOST=$3
SETTINGS
    chown root:www-data "$1"
    chmod 0640 "$1"
}

# seed_backups DIRECTORY: two weeks of three series, whole and readable, the newest from last night.
seed_backups() {
    mkdir -p "$1"
    chmod 0750 "$1"
    work=$(mktemp -d)
    mkdir "$work/files"
    head -c 65536 /dev/urandom >"$work/files/upload.bin"
    age=14
    while [ "$age" -ge 1 ]; do
        day=$(date --utc --date "$age days ago" +%Y%m%d)
        {
            echo "-- database dump of $day"
            echo "CREATE TABLE orders (id int);"
            head -c 98304 /dev/urandom | base64 --wrap 120 | sed 's/^/-- /'
            echo "-- Dump completed on $day"
        } | gzip --fast >"$1/database-$day-020000.sql.gz"
        tar -C "$work" -czf "$1/files-$day-023000.tar.gz" files
        tar -C / -czf "$1/config-$day-030000.tar.gz" etc/hostname etc/hosts
        touch --date "$day 02:00 UTC" "$1/database-$day-020000.sql.gz"
        touch --date "$day 02:30 UTC" "$1/files-$day-023000.tar.gz"
        touch --date "$day 03:00 UTC" "$1/config-$day-030000.tar.gz"
        age=$((age - 1))
    done
    rm -r "$work"
}
