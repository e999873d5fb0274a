#!/bin/sh
# Installs software that we did not write, each group in an environment of its own below .outside/, where it cannot
# meet our own dependencies. An environment whose list did not change is left alone. PYTHON: the Python to make them with.
set -eu
cd "$(dirname "$0")/../.."

environment() {
	name=$1
	shift
	list=.outside/$name/installed.txt
	if [ -f "$list" ] && [ "$(cat "$list")" = "$*" ]; then
		return
	fi
	echo "installing .outside/$name: $*"
	rm -rf ".outside/$name"
	"${PYTHON:-python3}" -m venv ".outside/$name"
	".outside/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
	echo "$*" >"$list"
}

environment wfdb wfdb==4.3.1
environment ledger scitt-cose==0.5.0 pymerkle==7.0.0
environment cose cwt==3.3.0 pycose==1.1.0 'cbor2<6'
