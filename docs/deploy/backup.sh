#!/bin/sh
# Copy the data directory of a server, which may be running:  backup.sh DATA TARGET
#
# First the database, by one transaction, then the blobs: so the copy has every blob that its database names.
set -eu
umask 077
data=${1:?which directory? backup.sh DATA TARGET}
target=${2:?where to? backup.sh DATA TARGET}
if [ -e "$target" ]; then
    echo "$target is there already: name a new directory" >&2
    exit 1
fi
# SQLite would make an empty one, and that would be the copy
if [ ! -f "$data/catalogue.sqlite" ]; then
    echo "there is no database of a server in $data: name the directory of its --data" >&2
    exit 1
fi
# what an interrupted backup has left would be in the way
rm -rf "$target.part"
mkdir -p "$target.part/blobs"
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("VACUUM INTO ?", sys.argv[2:])' \
    "$data/catalogue.sqlite" "$target.part/catalogue.sqlite"
# once more where a file was moved while it was copied, as the server does with what it removes
cp -a "$data/blobs/." "$target.part/blobs" || cp -a "$data/blobs/." "$target.part/blobs"
if [ -e "$data/tls.pem" ]; then
    cp -a "$data/tls.pem" "$target.part/"
fi
# only a copy that is complete has the name
mv "$target.part" "$target"
