"""Registries, met by an engine or by Drydock itself."""

from django.utils.translation import gettext_lazy as _

from images.problems.problem import Problem

REGISTRIES: dict[str, Problem] = {
    # Met by an engine
    "registry_refused": Problem(
        _("The registry %(registry)s refused the connection."),
        _("It is not running, or listens on another port."),
        _("Check the address; from the host, `curl https://%(registry)s/v2/` shows whether it answers."),
    ),
    "registry_proxy": Problem(
        _("The engine of %(host)s does not get through its own proxy to the registry %(registry)s."),
        _("The proxy is down, its address is wrong, or it wants a password."),
        _(
            "On that host, `docker info` names the proxies of the engine. They are set in /etc/docker/daemon.json "
            "(`proxies`) or as HTTP_PROXY and HTTPS_PROXY of its service (`systemctl cat docker`). Correct them, or "
            "except this registry with NO_PROXY, and restart the engine."
        ),
    ),
    "registry_unreachable": Problem(
        _("%(host)s has no way to the registry %(registry)s."),
        _("Its network is down, there is no route to that machine, or a firewall turns it away."),
        _(
            "On that host, `ip route` shows the way out and `curl https://%(registry)s/v2/` whether it leads there. "
            "Behind a proxy, name it in its /etc/docker/daemon.json (`proxies`)."
        ),
    ),
    "registry_dns": Problem(
        _("%(host)s can not find the registry %(registry)s by its name."),
        _("The name is misspelt, or the host's DNS server does not know it or is away."),
        _("Check the spelling. On that host, `getent hosts NAME` shows whether the name can be found."),
    ),
    "registry_tls": Problem(
        _("%(host)s does not trust the certificate of %(registry)s."),
        _("The registry's certificate was signed by a CA the engine does not know, or is for another name."),
        _(
            "Put the CA on that host as /etc/docker/certs.d/%(registry)s/ca.crt; no restart is needed. "
            "Engines read it there, not from Drydock."
        ),
    ),
    "registry_http_https": Problem(
        _("The registry %(registry)s speaks plain http, and the engine insists on TLS."),
        _("The registry has no certificate."),
        _(
            "Better give the registry a certificate. Else add it to `insecure-registries` in "
            "/etc/docker/daemon.json of that host and restart the engine."
        ),
    ),
    "registry_unauthorized": Problem(
        _("The registry %(registry)s did not let Drydock at %(subject)s."),
        _(
            "The account lacks the right, its password is wrong or has expired, or there is no such repository."
        ),
        _("Check the account under Registries, or add one whose prefix fits this repository."),
    ),
    "registry_rate_limited": Problem(
        _("The registry %(registry)s allows no more pulls for now."),
        _("Its limit for this address or account is used up."),
        _(
            "Wait until it starts anew, sign in with an account under Registries, or have the host use a mirror "
            "(`registry-mirrors` in /etc/docker/daemon.json)."
        ),
    ),
    "registry_timeout": Problem(
        _("The registry %(registry)s did not answer in time."),
        _("It is overloaded or far away, or a firewall drops the packets."),
        _(
            "Try again; for images of Docker Hub a mirror near the host helps (`registry-mirrors` in its "
            "/etc/docker/daemon.json). Or take the image from another registry."
        ),
    ),
    "registry_silent": Problem(
        _("Nothing came from the registry %(registry)s for %(seconds)s seconds."),
        _("It hangs, or a firewall on the way drops the packets. The engine itself answers."),
        _(
            "Try again; for images of Docker Hub a mirror near the host helps (`registry-mirrors` in its "
            "/etc/docker/daemon.json). Or take the image from another registry."
        ),
    ),
    "registry_cut": Problem(
        _("The connection to the registry %(registry)s broke off."),
        _(
            "The network between the host and the registry is unstable, or a proxy limits the time of transfers."
        ),
        _("Try again: the layers that have come are kept."),
    ),
    "registry_server_error": Problem(
        _("The registry %(registry)s has a problem of its own."),
        _("It answered that it failed."),
        _("Try again later, or ask who runs it."),
    ),
    # Met by Drydock when it asks a registry itself
    "registry_check_tls": Problem(
        _("Drydock does not trust the certificate of %(registry)s."),
        _("It was signed by a CA of your own, has expired, or is for another name."),
        _(
            "Paste the CA's certificate into the registry's form. Engines read theirs elsewhere: put it on each "
            "host as /etc/docker/certs.d/%(registry)s/ca.crt too."
        ),
    ),
    "registry_check_http": Problem(
        _("%(registry)s answers, but it does not speak TLS."),
        _("The registry listens without a certificate, or on another port with one."),
        _(
            "Better give the registry a certificate. Else tick “Plain http” in its form, and name it under "
            "`insecure-registries` in /etc/docker/daemon.json of each host."
        ),
    ),
    "registry_check_https": Problem(
        _("%(registry)s speaks TLS, but it is entered as plain http."),
        "",
        _("Take the tick from “Plain http” in its form."),
    ),
    "registry_login": Problem(
        _("%(registry)s does not let this account in."),
        _("The user name or the password is wrong, or the token has expired or was revoked."),
        _("Enter them again. Registries with two-factor sign-in want a token instead of the password."),
    ),
    "registry_needs_account": Problem(
        _("%(registry)s lets nobody in without an account."),
        "",
        _("Enter a user name and a password or token."),
    ),
    "registry_not_one": Problem(
        _("%(registry)s answers, but not as a registry does."),
        _("Another program listens there, a proxy stands in between, or the prefix is not quite right."),
        _("Check the address: a browser shows {} or asks for a password at /v2/ of a registry."),
    ),
    "account_prefix_taken": Problem(
        _("There is an account for %(prefix)s already."), "", _("Edit that one, or choose a longer prefix.")
    ),
    "account_name_taken": Problem(
        _("There is an account named %(name)s already."), "", _("Choose another name.")
    ),
}
