"""What looks like a secret is hidden in texts, and what only speaks of one is not."""

import time

import pytest

from images.engine.build_failures import build_failure
from images.engine.buildkit import Log, Vertex, Warned
from images.engine.steps import Steps
from images.secrets import MASK, is_secret, masked, masked_text


@pytest.mark.parametrize(
    "name",
    [
        "PGPASSWORD", "DBPASSWORD", "SMTP_PWD", "GITHUB_PAT", "NPMTOKEN", "db_password_2", "CLIENTSECRET", "userPwd",
        "X-Api-Key", "//registry.example.com/:_authToken",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "PUBLIC_KEY", "CACHE_KEY", "TOKEN_URL", "TOKEN_TTL", "PGPASSFILE", "PASSWORD_FILE", "SECRET_PATH", "AUTHOR",
        "KEYBOARD", "PATTERN", "PATH", "COMPAT", "PASSTHROUGH", "TOKENIZER", "PWD", "OLDPWD", "BYPASS", "--pwd",
        "--password-stdin", "--recv-keys", "AUTH_TYPE", "DATABASE_URL",
    ],
)  # fmt: skip
def test_names_that_hide_nothing(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # Instructions, as they are typed and as histories write them
        ("ENV NPM_TOKEN hush", "ENV NPM_TOKEN …"),
        ("ENV NPM_TOKEN two hush", "ENV NPM_TOKEN …"),
        ("env npm_token hush", "env npm_token …"),
        ("ENV NPM_TOKEN \\\n  hush\nRUN x", "ENV NPM_TOKEN \\\n  …\nRUN x"),
        ("ENV A=b \\\n  DB_PWD=hush\nRUN x", "ENV A=b \\\n  DB_PWD=…\nRUN x"),
        ("ENV API_TOKEN=two hush A=b", "ENV API_TOKEN=… A=b"),
        ('ENV API_TOKEN="two a=hush" A=b', "ENV API_TOKEN=… A=b"),
        ("/bin/sh -c #(nop)  ENV API_TOKEN=two hush", "/bin/sh -c #(nop)  ENV API_TOKEN=…"),
        ("RUN |1 GITHUB_PAT=two hush /bin/sh -c make", "RUN |1 GITHUB_PAT=… /bin/sh -c make"),
        ('LABEL "deploy.token"="two hush" a=b', 'LABEL "deploy.token"=… a=b'),
        ("ARG GITHUB_PAT=hush", "ARG GITHUB_PAT=…"),
        # Assignments in commands, also inside another's value and inside quotes
        ("PGPASSWORD=hush psql", "PGPASSWORD=… psql"),
        ("A=b;TOKEN=hush", "A=b;TOKEN=…"),
        ('OPTS="-Dpassword=hush"', 'OPTS="-Dpassword=…'),
        ('PASSWORD="a\\"hush b" x', "PASSWORD=… x"),
        ("TOKEN=\"hush that is cut", "TOKEN=…"),
        ('process "sh -c API_KEY=\\"two hush\\" x" failed', 'process "sh -c API_KEY=… x" failed'),
        ('{"auth":"hush=="}', '{"auth":…}'),
        # Flags
        ("x --password hush y", "x --password … y"),
        ("x --password=hush y", "x --password=… y"),
        ('CMD ["x", "--token", "two hush"]', 'CMD ["x", "--token", …]'),
        ('CMD ["x" "--token" "two hush"]', 'CMD ["x" "--token" …]'),
        ("x --password \\\n  hush", "x --password \\\n  …"),
        ("npm config set //r.example.com/:_authToken hush", "npm config set //r.example.com/:_authToken …"),
        ("curl -u ada:hush x", "curl -u ada:… x"),
        ("curl --user=ada:hush x", "curl --user=ada:… x"),
        ('["curl", "-u", "ada:hush"]', '["curl", "-u", "ada:…"]'),
        ("docker login -u ada -p hush x", "docker login -u ada -p … x"),
        ("mysql -u root -phush shop", "mysql -u root -p… shop"),
        ('can\'t find = in "hush". Must be', 'can\'t find = in "…". Must be'),
        # Headers
        ("curl -H 'Authorization: Bearer hush' x", "curl -H 'Authorization: Bearer …' x"),
        ("> authorization: Basic hush==", "> authorization: Basic …"),
        ('-H "PRIVATE-TOKEN: hush" x', '-H "PRIVATE-TOKEN: …" x'),
        # Addresses
        ("git clone https://hush@git.example.com/x", "git clone https://…@git.example.com/x"),
        ("https://hush:x-oauth-basic@git.example.com/x", "https://…@git.example.com/x"),
        ("postgres://app:hu@hush@db/app", "postgres://app:…@db/app"),
        ("https://git.example.com/x?private_token=hush", "https://git.example.com/x?private_token=…"),
        ("-----BEGIN PRIVATE KEY-----\nhush\n-----END", "-----BEGIN PRIVATE KEY-----…-----END"),
    ],
)  # fmt: skip
def test_secrets_in_a_text_are_hidden(text: str, shown: str) -> None:
    assert masked_text(text) == shown.replace("…", MASK)
    assert masked_text(masked_text(text)) == masked_text(text), "what is hidden may pass again"


@pytest.mark.parametrize(
    "text",
    [
        "ENV PATH=/bin PWD=/srv AUTHOR=ada KEYBOARD=de PATTERN=x PUBLIC_KEY=ssh-rsa",
        "ARG API_TOKEN\nRUN make",
        "ENV API_TOKEN= A=b",
        "RUN --mount=type=secret,id=token cat /run/secrets/token",
        "docker run -u 1000:1000 -u node:node x",
        "echo $TOKEN | docker login --password-stdin registry.example.com",
        "mkdir -p /srv/keys && cp -p a b",
        "COPY --chown=app:app keys /keys",
        'failed to calculate checksum of ref a: "/token": not found',
        "load metadata for docker-image://docker.io/library/alpine:3@sha256:abc",
        "no basic auth credentials",
        "ssh://git@git.example.com/x and https://git.example.com:8443/a@b",
        'LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format (line 3)',
        'Do not use ARG or ENV instructions for sensitive data (ENV "API_TOKEN") (line 2)',
    ],
)
def test_what_hides_nothing_stays_readable(text: str) -> None:
    assert masked_text(text) == text


def test_assignment_in_a_document_is_hidden_to_its_end() -> None:
    assert masked(["SMTP_PWD=two hush", "A=b"]) == [f"SMTP_PWD={MASK}", "A=b"]


LINE = 1_000_000


@pytest.mark.parametrize(
    "piece",
    [
        "x", "token ", "monkey=", 'TOKEN="', "-----BEGIN ", "://", "https://a:", "ENV A=b ", "--token", "-u a:", " -p",
        "login ", "set ", "x-", "\\", "'", "key: ", "|1 ",
    ],
)  # fmt: skip
def test_time_grows_with_a_line_and_not_with_its_square(piece: str) -> None:
    """What took the square of its length would take hours; the bound is wide for machines that are busy."""
    text = "token " + piece * (LINE // len(piece))
    began = time.process_time()
    masked_text(text)
    assert time.process_time() - began < 5


def test_steps_keep_no_secret_of_their_instructions() -> None:
    steps = Steps()
    steps.take(Vertex("v", f"[1/1] RUN {'x' * 380} API_KEY=hush456 make", error="API_KEY=hush456 failed"))
    lines = steps.take(Log("v", b"+ API_KEY=hush456 make\n")) + steps.take(
        Warned("v", "ENV NPM_TOKEN hush456")
    )
    error = 'process "/bin/sh -c API_KEY=hush456 make" did not complete successfully: exit code: 2'
    problem = build_failure(error, steps)
    assert (problem.code, problem.values["exit_code"]) == ("build_step_failed", "2")
    assert "hush" not in f"{steps.as_json()} {lines} {steps.steps[0].tail} {problem.values}"
    assert lines == [(1, f"+ API_KEY={MASK} make"), (1, f"warning: ENV NPM_TOKEN {MASK}")]


def test_steps_of_the_classic_builder_keep_none_either() -> None:
    steps = Steps(is_classic=True)
    steps.take_classic("Step 1/2 : ENV API_TOKEN=hush123\n")
    steps.take_classic("Step 2/2 : RUN API_KEY=hush456 make\n")
    lines = steps.take_classic("Step by step: API_KEY=hush456\n")
    steps.close(
        is_built=False, error="The command '/bin/sh -c API_KEY=hush456 make' returned a non-zero code: 2"
    )
    assert [step.name for step in steps.steps] == [f"ENV API_TOKEN={MASK}", f"RUN API_KEY={MASK} make"]
    assert "hush" not in f"{steps.as_json()} {lines}"
