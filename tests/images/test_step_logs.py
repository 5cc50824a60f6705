"""Whether a step failed for want of a network, by what the tools write in truth; and what only looks like it."""

# ruff: noqa: E501 - lines stand as the tools write them

import pytest

from images.engine.build_failures import build_failure
from images.engine.step_logs import network_line
from images.engine.steps import Steps

RETRY = (
    "WARNING: Retrying (Retry(total={}, connect=None, read=None, redirect=None, status=None)) after connection broken "
    "by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7fa27428ce10>: Failed to "
    "establish a new connection: [Errno -2] Name or service not known')': /simple/flask/"
)
NO_FLASK = """\
ERROR: Could not find a version that satisfies the requirement flask (from versions: none)
ERROR: No matching distribution found for flask
"""

REACHED_NOBODY = {
    "apt": """\
Err:1 http://packages.example.invalid/debian bookworm InRelease
  Temporary failure resolving 'packages.example.invalid'
Reading package lists...
W: Failed to fetch http://packages.example.invalid/debian/dists/bookworm/InRelease  Temporary failure resolving 'packages.example.invalid'
W: Some index files failed to download. They have been ignored, or old ones used instead.
Reading package lists...
Building dependency tree...
Reading state information...
E: Unable to locate package libcap2-bin
""",
    "apt through a dead proxy": """\
W: Failed to fetch http://deb.example.com/dists/x/InRelease  Could not connect to 10.0.0.1:3128 (10.0.0.1). - connect (111: Connection refused)
W: Some index files failed to download. They have been ignored, or old ones used instead.
E: Unable to locate package curl
""",
    "apt-get install": """\
E: Failed to fetch http://packages.example.invalid/debian/pool/main/c/curl/curl_7.88.1-10_amd64.deb  Unable to connect to packages.example.invalid:http:
E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?
""",
    "apk": """\
fetch https://packages.example.invalid/alpine/v3.18/main/x86_64/APKINDEX.tar.gz
WARNING: updating and opening https://packages.example.invalid/alpine/v3.18/main: temporary error (try again later)
ERROR: unable to select packages:
  git (no such package):
    required by: world[git]
""",
    "older apk": """\
ERROR: http://packages.example.invalid/alpine/v3.4/main: temporary error (try again later)
WARNING: Ignoring APKINDEX.167438ca.tar.gz: No such file or directory
ERROR: unsatisfiable constraints:
  git (missing):
    required by: world[git]
""",
    "apk, of DNS": """\
WARNING: fetching https://packages.example.invalid/alpine/v3.22/main: DNS: transient error (try again later)
ERROR: unable to select packages:
  curl (no such package):
    required by: world[curl]
""",
    "pip": "\n".join(RETRY.format(n) for n in (4, 3, 2, 1, 0)) + "\n" + NO_FLASK,
    "pip, with a notice": f"{RETRY.format(0)}\n{NO_FLASK}\n[notice] A new release of pip is available\n",
    "pip, in the middle": f"""{RETRY.format(0)}
ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='packages.example.invalid', port=443): Max retries exceeded with url: /packages/x
""",
    "npm": """\
npm error code EAI_AGAIN
npm error syscall getaddrinfo
npm error errno EAI_AGAIN
npm error request to https://packages.example.invalid/express failed, reason: getaddrinfo EAI_AGAIN packages.example.invalid
npm error A complete log of this run can be found in: /npm/_logs/debug-0.log
""",
    "older npm": """\
npm ERR! code ECONNREFUSED
npm ERR! network This is a problem related to network connectivity.
npm ERR! network In most cases you are behind a proxy or have bad network settings.
npm ERR! network
npm ERR! network If you are behind a proxy, please make sure that the
npm ERR! network 'proxy' config is set properly.  See: 'npm help config'
""",
    "yarn": """\
info No lockfile found.
error An unexpected error occurred: "https://packages.example.invalid/react: getaddrinfo EAI_AGAIN packages.example.invalid".
info If you think this is a bug, please open a bug report with the information provided in "/app/yarn-error.log".
info Visit https://packages.example.invalid/en/docs/cli/install for documentation about this command.
""",
    "go": """\
go: downloading github.com/gin-gonic/gin v1.9.1
go: github.com/gin-gonic/gin@v1.9.1: Get "https://packages.example.invalid/github.com/gin-gonic/gin/@v/v1.9.1.mod": dial tcp: lookup packages.example.invalid on 192.0.2.53:53: no such host
""",
    "go build": """\
main.go:4:2: github.com/x/y@v1.0.0: Get "https://packages.example.invalid/github.com/x/y/@v/v1.0.0.zip": dial tcp 142.250.1.1:443: connect: connection refused
""",
    "curl": "curl: (6) Could not resolve host: example.com\n",
    "curl under make": """\
curl: (7) Failed to connect to example.com port 443 after 3 ms: Couldn't connect to server
make[1]: *** [Makefile:2: deps] Error 7
make: *** [Makefile:9: all] Error 2
""",
    "curl into a pipe": "curl: (28) Connection timed out after 300000 milliseconds\ntar: This does not look like a tar archive\n",
    "wget": """\
--2024-05-01 05:31:17--  http://example.com/
Resolving example.com (example.com)... failed: Name or service not known.
wget: unable to resolve host address ‘example.com’
""",
    "wget that is refused": """\
--2024-05-01 05:31:17--  http://192.0.2.1/
Connecting to 192.0.2.1:80... failed: Connection refused.
""",
    "busybox's wget": "wget: bad address 'example.com'\n",
    "busybox's wget that is refused": """\
Connecting to 192.0.2.1 (192.0.2.1:80)
wget: can't connect to remote host (192.0.2.1): Connection refused
""",
    "yum": """\
http://mirror.example.com/centos/7/os/x86_64/repodata/repomd.xml: [Errno 14] curl#6 - "Could not resolve host: mirror.example.com; Unknown error"
Trying other mirror.
 One of the configured repositories failed (Unknown),
 and yum doesn't have enough cached data to continue. At this point the only
 safe thing yum can do is fail. There are a few ways to work "fix" this:
Cannot find a valid baseurl for repo: base/7/x86_64
""",
    "dnf": """\
Errors during downloading metadata for repository 'baseos':
  - Curl error (6): Couldn't resolve host name for https://packages.example.invalid/mirrorlist?arch=x86_64&repo=BaseOS-9 [getaddrinfo() thread failed to start]
Error: Failed to download metadata for repo 'baseos': Cannot prepare internal mirrorlist: Curl error (6): Couldn't resolve host name
""",
    "dnf, of a package": """\
[MIRROR] nginx-1.22.x86_64.rpm: Curl error (7): Couldn't connect to server for https://mirror.example.com/nginx.rpm []
[FAILED] nginx-1.22.x86_64.rpm: No more mirrors to try - All mirrors were already tried without success
Error: Error downloading packages:
  Cannot download Packages/n/nginx-1.22.x86_64.rpm: All mirrors were tried
""",
    "git": """\
Cloning into '/src'...
fatal: unable to access 'https://github.com/x/y.git/': Could not resolve host: github.com
""",
    "git over ssh": """\
ssh: Could not resolve hostname github.com: Temporary failure in name resolution
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
""",
    "gem": """\
ERROR:  Could not find a valid gem 'bundler' (>= 0), here is why:
          Unable to download data from https://packages.example.invalid/ - no such name (https://packages.example.invalid/specs.4.8.gz)
""",
    "bundler": """\
Fetching gem metadata from https://packages.example.invalid/.
Could not reach host packages.example.invalid. Check your network connection and try again.
""",
    "older bundler": """\
Retrying fetcher due to error (4/4): Bundler::HTTPError Could not fetch specs from https://packages.example.invalid/ due to underlying error <SocketError: Failed to open TCP connection to packages.example.invalid:443 (getaddrinfo: Try again) (https://packages.example.invalid/specs.4.8.gz)>
Could not fetch specs from https://packages.example.invalid/ due to underlying error <SocketError: Failed to open TCP connection to packages.example.invalid:443 (getaddrinfo: Try again) (https://packages.example.invalid/specs.4.8.gz)>
""",
    "composer": """\
Loading composer repositories with package information

In CurlDownloader.php line 377:

  curl error 6 while downloading https://packages.example.invalid/packages.json: Could not resolve host: packages.example.invalid


install [--prefer-source] [--prefer-dist] [--dry-run] [--download-only] [--dev] [--no-dev] [--] [<packages>]...
""",
    "cargo": """\
    Updating packages.example.invalid index
warning: spurious network error (1 tries remaining): [6] Could not resolve hostname (Could not resolve host: packages.example.invalid)
error: failed to get `anyhow` as a dependency of package `app v0.1.0 (/src)`

Caused by:
  download of config.json failed

Caused by:
  [6] Could not resolve hostname (Could not resolve host: packages.example.invalid)
""",
    "maven": """\
[ERROR] Non-resolvable parent POM for x:y:1: Could not transfer artifact org.a:b:pom:1 from/to central (https://packages.example.invalid/maven2): packages.example.invalid: Temporary failure in name resolution
[ERROR]
[ERROR] To see the full stack trace of the errors, re-run Maven with the -e switch.
[ERROR] For more information about the errors and possible solutions, please read the following articles:
""",
    "gradle": """\
> Could not resolve org.slf4j:slf4j-api:2.0.9.
   > Could not GET 'https://packages.example.invalid/maven2/org/slf4j/slf4j-api/2.0.9/slf4j-api-2.0.9.pom'.
      > packages.example.invalid: Temporary failure in name resolution

* Try:
> Run with --stacktrace option to get the stack trace.

BUILD FAILED in 5s
""",
    "python": """\
  File "/usr/lib/python3.11/urllib/request.py", line 1351, in do_open
    raise URLError(err)
urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>
""",
    "node": """\
Error: getaddrinfo ENOTFOUND example.com
    at GetAddrInfoReqWrap.onlookupall [as oncomplete] (node:dns:120:26) {
  errno: -3008,
  code: 'ENOTFOUND',
  syscall: 'getaddrinfo',
  hostname: 'example.com'
}

Node.js v20.11.0
""",
}

FAILED_OTHERWISE = {
    "a test of refused connections before one that fails": """\
test_retry_on_refused: logged 'Connection refused' as expected ... ok
test_sum ... FAILED
assert 1 == 2
""",
    "the same after it": """\
test_sum ... FAILED
test_retry_on_refused: logged 'Connection refused' as expected ... ok
""",
    "pytest": """\
----------------------------- Captured log call ------------------------------
WARNING  app.retry:retry.py:7 Max retries exceeded with url: / (Connection refused)
=========================== short test summary info ===========================
FAILED tests/test_sum.py::test_sum - assert 1 == 2
========================= 1 failed, 41 passed in 3.21s =========================
""",
    "pytest that fails with the word": """\
FAILED tests/test_db.py::test_db - ConnectionRefusedError: [Errno 111] Connection refused
1 failed in 0.12s
""",
    "jest": """\
  console.warn
    npm error code EAI_AGAIN

 FAIL  src/sum.test.js
Tests:       1 failed, 4 passed, 5 total
""",
    "mocha": "  request to https://registry.example.com/ failed, reason: connect ECONNREFUSED\n\n  3 passing (8ms)\n  1 failing\n",
    "go test": """\
time="12:00" level=warning msg="try 1: go: x@v1.0.0: dial tcp 127.0.0.1:1: connect: connection refused"
--- FAIL: TestSum (0.00s)
    sum_test.go:9: got 3, want 4
FAIL
FAIL	example.com/app	0.004s
""",
    "cargo test": """\
test retries ... ok
curl: (7) Failed to connect to example.com
test sum ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored
""",
    "rspec": "Errno::ECONNREFUSED: Connection refused - connect(2)\n5 examples, 1 failure\n",
    "a program's log, long before its end": """\
metrics: connection refused, going on without
generating pages
rendering index
KeyError: 'title'
""",
    "a download that was no matter, and a compiler": """\
curl: (6) Could not resolve host: telemetry.example.com
cc -o app main.c
main.c:3:5: error: expected ';' before 'return'
make: *** [Makefile:3: app] Error 1
""",
    "a service of the step's own": """\
psql: error: connection to server at "localhost" (127.0.0.1), port 5432 failed: Connection refused
	Is the server running on that host and accepting TCP/IP connections?
""",
    "apt, of an old list": """\
E: Failed to fetch http://packages.example.invalid/debian/pool/main/c/curl/curl_7.88.1-10_amd64.deb  404  Not Found [IP: 151.101.2.132 80]
E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?
""",
    "apk, of a misspelt package": """\
fetch https://packages.example.invalid/alpine/v3.18/main/x86_64/APKINDEX.tar.gz
ERROR: unable to select packages:
  crul (no such package):
    required by: world[crul]
""",
    "pip, of a misspelt package": NO_FLASK.replace("flask", "flaks"),
    "pip, after a try that went better": f"{RETRY.format(4)}\nCollecting flask\nSuccessfully installed flask\n"
    "Traceback (most recent call last):\nModuleNotFoundError: No module named 'app'\n",
    "npm, of a misspelt package": """\
npm error code E404
npm error 404 Not Found - GET https://packages.example.invalid/exprss - Not found
npm error A complete log of this run can be found in: /npm/_logs/debug-0.log
""",
    "go, of a misspelt module": "go: github.com/x/nope@v1.0.0: reading https://packages.example.invalid/github.com/x/nope: 404 Not Found\n",
    "dnf, of a file that is not there": """\
  - Status code: 404 for https://mirror.example.com/repodata/repomd.xml (IP: 192.0.2.1)
Error: Failed to download metadata for repo 'x': Cannot download repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried
""",
    "dnf, with a mirror that is away": """\
[MIRROR] nginx-1.22.x86_64.rpm: Curl error (28): Timeout was reached for https://mirror.example.com/nginx.rpm []
Complete!
nginx: [emerg] unknown directive "lissten" in /etc/nginx/nginx.conf:3
""",
    "wget, by another address": """\
Connecting to example.com (example.com)|2001:db8::1|:443... failed: Network is unreachable.
Connecting to example.com (example.com)|192.0.2.1|:443... connected.
HTTP request sent, awaiting response... 404 Not Found
2024-05-01 05:31:17 ERROR 404: Not Found.
""",
    "cargo, after tries that went better": """\
warning: spurious network error (3 tries remaining): [6] Could not resolve hostname (Could not resolve host: packages.example.invalid)
   Compiling app v0.1.0 (/src)
error[E0425]: cannot find value `x` in this scope
error: could not compile `app` (bin "app") due to 1 previous error
""",
    "gem, of a missing one": """\
ERROR:  Could not find a valid gem 'rakee' (>= 0) in any repository
ERROR:  Possible alternatives: rake
""",
    "nothing": "",
}


@pytest.mark.parametrize("text", REACHED_NOBODY.values(), ids=REACHED_NOBODY)
def test_tool_that_reaches_nobody_is_understood(text: str) -> None:
    assert network_line(text.splitlines())


@pytest.mark.parametrize("text", FAILED_OTHERWISE.values(), ids=FAILED_OTHERWISE)
def test_step_that_only_speaks_of_it_is_not_blamed_on_the_network(text: str) -> None:
    assert network_line(text.splitlines()) == ""


@pytest.mark.parametrize("name", ["apt", "pip", "npm", "curl", "go"])
def test_tests_that_print_what_a_tool_writes_fail_for_their_own_reason(name: str) -> None:
    text = f"{REACHED_NOBODY[name]}test_x.py::test_sum FAILED\n=== 1 failed, 3 passed in 0.20s ===\n"
    assert network_line(text.splitlines()) == ""


def test_line_that_says_so_is_shown() -> None:
    steps = Steps(is_classic=True)
    steps.take_classic("Step 1/1 : RUN install\n")
    for line in REACHED_NOBODY["apt"].splitlines(keepends=True):
        steps.take_classic(line)
    error = "The command '/bin/sh -c install' returned a non-zero code: 100"
    steps.close(is_built=False, error=error)
    problem = build_failure(error, steps, host="ci-1")
    assert problem.code == "build_network"
    assert problem.values["line"] == "Temporary failure resolving 'packages.example.invalid'"
