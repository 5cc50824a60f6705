"""Reaching a host, and what is the matter with it."""

from django.utils.translation import gettext_lazy as _

from images.problems.problem import Problem

HOSTS: dict[str, Problem] = {
    # Its engine
    "host_refused": Problem(
        _("Nothing answers at %(address)s: the connection was refused."),
        _("The Docker engine is not running, or it listens on another address or port."),
        _("On that machine, check with `systemctl status docker` and `docker version`."),
    ),
    "host_timeout": Problem(
        _("%(address)s did not answer within %(seconds)s seconds."),
        _("The machine is down, a firewall drops the packets, or the engine hangs."),
        _("Check that the machine answers; on it, `docker version` shows whether the engine does."),
    ),
    "host_unknown_name": Problem(
        _("The name in %(address)s can not be resolved."),
        _("The name is misspelt, or Drydock's machine uses another DNS server."),
        _("Check the spelling, or use the IP address."),
    ),
    "host_no_socket": Problem(
        _("There is no socket at %(address)s."),
        _("The engine is not running, or its socket is elsewhere."),
        _("Start the engine with `systemctl start docker`, or correct the path."),
    ),
    "host_permission": Problem(
        _("Drydock may not open %(address)s."),
        _("The user that Drydock runs as is not allowed to use the engine's socket."),
        _("Add that user to the group `docker` and start Drydock again."),
    ),
    "host_certificate": Problem(
        _("The certificates do not fit: %(detail)s"),
        _(
            "The CA, the client certificate or the key is not the one this engine expects, or one has expired."
        ),
        _("Paste the CA, certificate and key that were made for this engine."),
    ),
    "host_needs_tls": Problem(
        _("%(address)s speaks TLS, but this host is registered without it."),
        "",
        _("Turn TLS on and paste the client certificate and key."),
    ),
    "host_not_tls": Problem(
        _("%(address)s answers, but it does not speak TLS."),
        _("The engine listens on this port without TLS."),
        _("Turn TLS off for this host, or better: turn it on for the engine."),
    ),
    "host_busy": Problem(
        _("Another picture of %(host)s is still being taken."),
        "",
        _("Wait until it is done; it shows by itself."),
    ),
    "host_refused_list": Problem(
        _("The engine of %(host)s answers, but it refuses to list its images."),
        _("The engine is in trouble: its store may be damaged or its disk full."),
        _("Read the engine's own log on that machine."),
    ),
    "host_refused_info": Problem(
        _("Something answers at %(address)s, but it does not let Drydock ask what it is."),
        _("A proxy in front of the engine forbids it, or the engine is in trouble."),
        _("Let “info” and “version” through there; its own words below say what was refused."),
    ),
    "host_name_taken": Problem(_("There is a host named %(name)s already."), "", _("Choose another name.")),
    "host_switched_off": Problem(
        _("%(host)s is switched off: Drydock does nothing there."),
        "",
        _("Switch it on, on its page, and try again."),
    ),
    "host_not_engine": Problem(
        _("%(address)s answers, but it is not a Docker engine."),
        _("Another program listens on this port."),
        _("Check the port: the engine's own are 2375 (plain) and 2376 (TLS)."),
    ),
    "host_api_too_old": Problem(
        _("This engine speaks API %(version)s; Drydock needs at least %(minimum)s."),
        _("The engine is older than Docker 20.10."),
        _("Upgrade Docker on that machine."),
    ),
    "host_gone": Problem(
        _("The connection to %(host)s was lost."),
        _("The engine stopped or was restarted in the middle of it."),
        _("Drydock reconnects by itself; then look at what was done and start the rest again."),
    ),
    # Over ssh
    "host_no_ssh_client": Problem(
        _("Drydock's machine has no ssh client."),
        _("The program `ssh` or `ssh-keyscan` is not installed where Drydock's workers run."),
        _("Install the package `openssh-client` there; it is part of Drydock's image."),
    ),
    "host_ssh_refused": Problem(
        _("No ssh server answers at %(address)s: the connection was refused."),
        _("It is not running, or listens on another port."),
        _(
            "On that machine, check with `systemctl status ssh`; a port other than 22 belongs into the address."
        ),
    ),
    "host_ssh_timeout": Problem(
        _("The ssh server of %(address)s did not answer within %(seconds)s seconds."),
        _("The machine is down or hangs, or a firewall drops the packets."),
        _("Check that the machine answers, and that Drydock's machine may reach its ssh port."),
    ),
    "host_not_ssh": Problem(
        _("%(address)s answers, but it is not an ssh server."),
        _("Another program listens on this port."),
        _("Check the port: ssh's own is 22."),
    ),
    "host_ssh_failed": Problem(
        _("ssh could not connect to %(address)s."),
        _("Its own words below say why."),
        _("Look into the log of the ssh server on that machine: `journalctl -u ssh`."),
    ),
    "host_ssh_auth": Problem(
        _("%(address)s does not accept the key for the user %(user)s."),
        _("The public key is not in that user's authorized_keys, or the server does not allow this user."),
        _(
            "Put the public key into ~/.ssh/authorized_keys of that user; `journalctl -u ssh` on that machine "
            "says why a key was refused."
        ),
    ),
    "host_key_unknown": Problem(
        _("Nobody has confirmed the host key of %(address)s yet."),
        _("Without it Drydock can not tell that machine from another one that answers in its place."),
        _("Edit the host, check the connection, compare the fingerprint and confirm it."),
    ),
    "host_key_changed": Problem(
        _("%(address)s shows another host key than the one that was confirmed, so Drydock did not connect."),
        _(
            "The machine was installed anew or got new keys, or somebody answers in its place. Confirmed was "
            "%(expected)s, shown was %(found)s."
        ),
        _(
            "Run `%(command)s` on that machine's own console. If it prints the new fingerprint, edit the host, "
            "check the connection and accept the new key; if not, find out who answers there."
        ),
    ),
    "host_ssh_no_socket": Problem(
        _("ssh connects to %(address)s, but there is no socket at %(path)s."),
        _("The engine is not running, its socket is elsewhere, or %(user)s may not look into that folder."),
        _("Start the engine with `systemctl start docker`, or put the socket's path behind the address."),
    ),
    "host_ssh_permission": Problem(
        _("ssh connects to %(address)s, but %(user)s may not open %(path)s."),
        _("That user is not in the group `docker` of that machine."),
        _("On that machine: `usermod -aG docker %(user)s`. It counts from the next connection on."),
    ),
    "host_ssh_forwarding": Problem(
        _("ssh connects to %(address)s, but its server does not pass on to %(path)s."),
        _("The server forbids forwarding to sockets, or nobody listens at the socket any more."),
        _(
            "Allow it with `AllowTcpForwarding yes` and `AllowStreamLocalForwarding yes` in sshd_config, and with "
            "`restrict,port-forwarding` before the key in authorized_keys. Then see whether the engine runs."
        ),
    ),
    "host_ssh_no_way": Problem(
        _("ssh connects to %(address)s, but does not get through to %(path)s."),
        _(
            "There is no such socket, %(user)s may not open it, or the ssh server forbids forwarding to sockets."
        ),
        _(
            "On that machine, `docker version` run as %(user)s shows whether the engine can be reached; forwarding "
            "needs `AllowTcpForwarding yes` and `AllowStreamLocalForwarding yes` in sshd_config."
        ),
    ),
    "host_offline": Problem(
        _("%(host)s is offline."),
        _("Its engine has not answered lately."),
        _("Open the host's page: it says since when and why."),
    ),
    # Its disk
    "disk_full": Problem(
        _("The disk of %(host)s is full."),
        _(
            "Images, containers and their logs, volumes, and the cache of builds share the disk that it stores on."
        ),
        _(
            "Free space: the host's page shows what removing unused images would free. On that host, `docker system "
            "df` shows what takes it; `docker builder prune` empties the cache of builds, which also holds layers "
            "of removed images."
        ),
    ),
    "image_over_budget": Problem(
        _(
            "%(subject)s does not fit into the image budget of %(host)s: %(used)s of %(budget)s are taken, and at "
            "least %(coming)s would come."
        ),
        _(
            "Who manages the host said how much its images should take at most, so that its disk does not fill up."
        ),
        _(
            "Free space: the host's page shows what removing unused images would free. Or start it anew with “Even "
            "above the image budget”, or have the budget raised."
        ),
    ),
}
