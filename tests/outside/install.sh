#!/bin/sh
# Installs software that we did not write, each group in a folder of its own below .outside/, where it cannot meet our own
# dependencies. A folder whose list did not change is left alone. PYTHON: the Python to make environments with. What this
# machine cannot run is not installed: the folder then holds absent.txt, which says why, and the tests that ask for it skip.
set -eu
cd "$(dirname "$0")/../.."

# True when .outside/NAME holds the LIST already; otherwise its folder is there, and empty.
there() {
	if [ -f ".outside/$1/installed.txt" ] && [ "$(cat ".outside/$1/installed.txt")" = "$2" ]; then
		return 0
	fi
	rm -rf ".outside/$1"
	mkdir -p ".outside/$1"
	return 1
}

# Stop here: no list, so the next run begins this folder again.
installed() {
	echo "$2" >".outside/$1/installed.txt"
}

absent() {
	rm -rf ".outside/$1"
	mkdir -p ".outside/$1"
	echo "$2" | tee ".outside/$1/absent.txt"
}

# PYTHON NAME PACKAGE...
environment_of() {
	python=$1 name=$2
	shift 2
	if there "$name" "$*"; then return; fi
	echo "installing .outside/$name: $*"
	"$python" -m venv ".outside/$name"
	".outside/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
	installed "$name" "$*"
}

environment() {
	environment_of "${PYTHON:-python3}" "$@"
}

# The first Python from 3.12 on: the one asked for, one of the path, one of pyenv's.
newer_python() {
	for found in "${PYTHON:-python3}" python3.12 python3.13 python3.14 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9].*/bin/python; do
		if "$found" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then
			echo "$found"
			return
		fi
	done
}

# environment, for packages that want Python 3.12.
newer_environment() {
	newer=$(newer_python)
	if [ -n "$newer" ]; then
		environment_of "$newer" "$@"
	else
		absent "$1" ".outside/$1 needs Python 3.12 or later, and this machine has none"
	fi
}

# A program in Go: NAME MODULE@VERSION. Its modules stay in Go's own cache.
go_program() {
	if ! command -v go >/dev/null || ! go version | grep -Eq 'go1\.(2[5-9]|[3-9][0-9])'; then
		absent "$1" ".outside/$1 needs Go 1.25 or later, and this machine has none"
		return
	fi
	if there "$1" "$2"; then return; fi
	echo "building .outside/$1: $2"
	GOBIN="$PWD/.outside/$1" GOFLAGS=-mod=mod GOTOOLCHAIN=local CGO_ENABLED=0 go install "$2"
	installed "$1" "$2"
}

# Packages of npm, by the lock in tests/outside/NAME: hashes, and no addresses.
node_packages() {
	if ! command -v npm >/dev/null; then
		absent "$1" ".outside/$1 needs Node.js with npm, and this machine has none"
		return
	fi
	list=$(cksum "tests/outside/$1/package-lock.json")
	if there "$1" "$list"; then return; fi
	echo "installing .outside/$1"
	cp "tests/outside/$1/package.json" "tests/outside/$1/package-lock.json" ".outside/$1/"
	npm ci --prefix ".outside/$1" --ignore-scripts --no-audit --no-fund --loglevel=error
	installed "$1" "$list"
}

environment wfdb wfdb==4.3.1
environment ledger scitt-cose==0.5.0 pymerkle==7.0.0
environment cose cwt==3.3.0 pycose==1.1.0 'cbor2<6'
environment schemathesis schemathesis==4.32.5
newer_environment tlog aics-tlog==0.2.1 aics-witness==0.1.0 tlog-scales==0.0.3
newer_environment scitt pyscitt==0.15.0
node_packages node
go_program fsck github.com/transparency-dev/tessera/cmd/fsck@v1.0.4
go_program litewitness filippo.io/torchwood/cmd/litewitness@v0.6.1
