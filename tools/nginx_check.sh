#!/bin/sh
# Has nginx itself read deploy/nginx/energy.conf, with a certificate and directories made for it.
set -eu
cd "$(dirname "$0")/.."
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=energy.example.org \
    -keyout "$directory/energy.key" -out "$directory/energy.pem" 2>/dev/null
sed -e "s#/etc/ssl/private/#$directory/#; s#/etc/ssl/#$directory/#; s#/var/log/nginx/#$directory/#" \
    deploy/nginx/energy.conf >"$directory/energy.conf"
# As the file says: before 1.25.1 both directives are one.
version=$(nginx -v 2>&1 | sed 's#.*/\([0-9.]*\).*#\1#')
if [ "$(printf '%s\n1.25.1\n' "$version" | sort -V | head -n 1)" != 1.25.1 ]; then
    sed -i -e 's/listen 443 ssl;/listen 443 ssl http2;/; /^ *http2 on;/d' "$directory/energy.conf"
fi
{
    echo "pid $directory/pid; error_log $directory/error.log; events {}"
    echo "http {"
    for each in client_body proxy fastcgi uwsgi scgi; do
        echo "${each}_temp_path $directory/$each;"
    done
    echo "include $directory/energy.conf; }"
} >"$directory/nginx.conf"
if ! nginx -t -p "$directory" -e "$directory/start.log" -c "$directory/nginx.conf" >"$directory/said" 2>&1; then
    cat "$directory/said" >&2
    exit 1
fi
# What is deprecated is a warning, which ends with 0.
if grep -E '\[(warn|error|emerg)\]' "$directory/said" >&2; then exit 1; fi
