#!/bin/sh
# Builds CPython without a GIL, from the source that Ubuntu packages, and Boost.Python for it.
#
# Usage: free_threaded_python.sh PREFIX
#
# No distribution packages such a Python. Takes some ten minutes, once for a row of the matrix: what
# is there already is not built again. UBUNTU_MIRROR and MIRROR are those of docs/matrix.md.
set -eu
prefix=$1
archive=python3.14_3.14.4.orig.tar.xz
# Source: Ubuntu's signed Sources index of 26.04.
sum=d923c51303e38e249136fc1bdf3568d56ecb03214efdef48516176d3d7faaef8
url=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}/pool/main/p/python3.14/$archive
here=$(cd "$(dirname "$0")" && pwd)

if [ ! -x "$prefix/bin/python3" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    curl --silent --show-error --fail --location --remote-name "$url"
    echo "$sum  $archive" | sha256sum --check --quiet
    tar --extract --strip-components=1 --file "$archive"
    ./configure --quiet --prefix="$prefix" --disable-gil --enable-shared --with-ensurepip=install \
        CFLAGS=-O2 LDFLAGS="-Wl,-rpath=$prefix/lib" > configure.log 2>&1 || { cat configure.log; exit 1; }
    make --silent --jobs="$(nproc)" > make.log 2>&1 || { tail -50 make.log; exit 1; }
    make --silent install > install.log 2>&1 || { tail -50 install.log; exit 1; }
fi
if ! ls "$prefix"/lib/libboost_python3* > /dev/null 2>&1; then
    python3 "$here/../../cmake/build_boost_python.py" "$prefix/bin/python3"
fi
