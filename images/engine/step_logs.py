"""Whether the log of a failed step says that it failed because it reached nobody. Pure.

Tests and programs write such words too and go on. So loose words count in the last lines alone, what package managers
write when they give up counts anywhere, and neither counts when the log goes on to another failure.
"""

import re
from collections.abc import Iterable

LAST_LINES = 2  # that say something: a program that gives up says why at its end

_WORDS = re.compile(
    r"could(?: not|n't) (?:resolve|connect to)|temporary failure (?:in name resolution|resolving)"
    r"|name or service not known|bad address|no such host|getaddrinfo|network is unreachable|no route to host"
    r"|connection (?:timed out|refused)|failed to (?:establish a new connection|connect to)|max retries exceeded"
    r"|unable to (?:connect to|resolve)|can't connect to|dns lookup error|i/o timeout"
    r"|\b(?:eai_again|enotfound|etimedout|econnrefused|econnreset|ehostunreach|enetunreach)\b",
    re.IGNORECASE,
)
_OWN_MACHINE = re.compile(r"localhost|\b127\.\d|::1\b|\.sock\b", re.IGNORECASE)  # no way out would help there
_NOISE = re.compile(
    r"\W*$|\s*at |\s*\.\.\. \d+ more|\[notice\]|Node\.js v|make(?:\[\d+\])?: |npm (?:ERR!|error) A complete log"
)

_NODE = r"\b(?:EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)\b"
_CURL = r"(?:5|6|7|28)\b"  # the proxy's name, the name, no connection, too late
_TOOLS = re.compile(
    # apt; "Failed to fetch" alone is also said of a file that the server lacks.
    r"^[EW]: Failed to fetch \S+ +(?:Temporary failure|Could not (?:resolve|connect)|Unable to connect"
    r"|Cannot initiate the connection|Connection (?:failed|timed out))"
    r"|^ +(?:Temporary failure resolving|Could not resolve) '"
    # apk; without such a line "unable to select packages" means a package that does not exist.
    r"|^(?:WARNING|ERROR): .*https?://\S+: (?:temporary error|DNS|network error|could not connect|operation timed out"
    r"|connection)"
    # pip: a try that went wrong is no matter until it gives up.
    r"|Retrying \(Retry\(.*(?:new connection|name resolution|timed out|timeout|refused|reset|unreachable)"
    r"(?=(?s:.*)(?:No matching distribution found|Could not install packages due to an \w+Error))"
    # npm, yarn, pnpm
    r"|^(?:npm (?:ERR!|error) |error An unexpected error occurred: |➤ YN\d+: |[^\w\n]{0,3}ERR_PNPM_\w+)"
    rf".*(?:{_NODE}|ERR_SOCKET_TIMEOUT)"
    # go
    r"|^(?:go: |.*@v\d).*\b(?:dial|proxyconnect) tcp\b"
    # curl, and what is made with it: yum, cargo, dnf, composer; dnf goes on when a mirror is away.
    rf"|\bcurl: \({_CURL}|\bcurl#{_CURL}|^ +\[{_CURL}|^(?!\[MIRROR\]).*\bcurl error \(?{_CURL}"
    rf"|^\[MIRROR\].*\bcurl error \({_CURL}(?=(?s:.*)Cannot download .*All mirrors were tried)"
    # wget, busybox's too; a line of GNU's that only says "failed" may be followed by another address.
    r"|^wget: (?:bad address|unable to resolve|can't connect|download timed out)"
    # git
    r"|^fatal: unable to access '.*': (?:Could not resolve|Failed to connect|Connection timed out)"
    r"|^ssh: (?:Could not resolve hostname|connect to host) "
    # gem, bundler
    r"|Unable to download data from \S+ - (?:no such name|timed out|Socket|Errno::|too many)"
    r"|Gem::RemoteFetcher::UnknownHostError|^Could not reach host \S+\. Check your network"
    r"|^(?:Could not fetch specs from|Network error while fetching) .*(?:Socket|Errno::)"
    # maven, gradle
    r"|Could not transfer artifact .*(?:Unknown host|name resolution|not known|refused|timed out)"
    r"|^ +> (?:\S+: (?:Temporary failure in name resolution|Name or service not known)|Connect to .* failed: )",
    re.IGNORECASE | re.MULTILINE,
)
_OTHER_FAILURE = re.compile(
    # what tests end with
    r"\b\d+ (?:passed|failed|passing|failing|failures?|examples?)\b|\.\.\. *(?:ok|FAIL(?:ED)?|ERROR)$"
    r"|^\s*(?:--- )?FAIL\b|^FAILED |^FAILURES|\btests FAILED\b|^not ok \d|\bTests run: |\btest result: "
    r"|\bAssertionError\b|^E?\s*assert "
    # and compilers
    r"|^\S+:\d+(?::\d+)?: (?:fatal )?error: |^error\[E\d+\]|\berror TS\d+: |^\s*SyntaxError: ",
    re.MULTILINE,
)


def network_line(lines: Iterable[str]) -> str:
    """The line that says nobody was reached; empty when the step failed for another reason."""
    lines = list(lines)
    log = "\n".join(lines)
    for found in _TOOLS.finditer(log):
        if not _OTHER_FAILURE.search(log, found.end()):
            return log[log.rfind("\n", 0, found.end()) + 1 :].partition("\n")[0].strip()
    if _OTHER_FAILURE.search(log):
        return ""
    last = [line for line in lines if not _NOISE.match(line)][-LAST_LINES:]
    said = (line for line in last if _WORDS.search(line) and not _OWN_MACHINE.search(line))
    return next(said, "").strip()
