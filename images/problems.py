"""Everything that can go wrong, in words: what happened, the likely cause, what to do. Words only."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise


@dataclass(frozen=True)
class Problem:
    """The sentences of one kind of error; `%(name)s` is filled from the error's values."""

    what: Text
    cause: Text = ""
    remedy: Text = ""


PROBLEMS: dict[str, Problem] = {
    "unexpected": Problem(
        _("Something unexpected happened."),
        _("This is a fault in Drydock or an answer of the engine that Drydock does not know yet."),
        _("Try again; if it happens again, report it with the text below."),
    ),
    # Reaching a host
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
    # Hosts over ssh
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
    # Signing in
    "sign_in_wait": Problem(
        _("Too many attempts to sign in. Wait %(minutes)s min, then try again."),
        _("The password was wrong several times in a row."),
        _("Who forgot the password asks an admin for a new one."),
    ),
    # People and teams
    "last_admin": Problem(
        _("Nobody would be left who may manage teams."),
        _("This is the last active admin, or the last grant that makes one."),
        _("Give another active person a team with the role Admin on all hosts first."),
    ),
    "own_password": Problem(
        _("This is your own account."), "", _("Change your own password in the menu under your name.")
    ),
    "grant_twice": Problem(_("%(team)s has the role %(role)s there already.")),
    # Removing
    "image_in_use": Problem(
        _("In use by the container %(container)s."),
        _("An engine does not remove the image of a container, even of a stopped one."),
        _("Remove the container first with `docker rm`, or leave the image."),
    ),
    "image_has_children": Problem(
        _("Other images are built on it."),
        _("The engine keeps an image while another one needs it as its parent."),
        _("Remove the images built on it first."),
    ),
    "image_pinned": Problem(
        _("Pinned: %(reason)s"),
        _("Somebody said that this image must never be removed."),
        _("Remove the pin first."),
    ),
    "image_gone": Problem(_("The image was gone already.")),
    "untag_removed": Problem(
        _(
            "While %(reference)s was taken away it moved to another image, and the engine removed that one: %(image)s"
        ),
        _("Somebody built or pulled under the same name in that moment."),
        _("Pull or build %(reference)s again if it is needed."),
    ),
    "reference_gone": Problem(_("The reference was gone already.")),
    "removal_empty": Problem(_("None of these images is there any more."), "", _("Reload the list.")),
    "image_changed": Problem(
        _("Its references changed since this was asked for."),
        "",
        _("Look at the image again and repeat what you meant."),
    ),
    "image_conflict": Problem(
        _("The engine refused to remove it."),
        _("Something refers to it that Drydock can not name."),
        _("Read the engine's text below."),
    ),
    "engine_refused": Problem(
        _("The engine refused."), "", _("Its own words below say why; then try again.")
    ),
    "engine_changed": Problem(
        _("Another engine answers for %(host)s than the one this was made for."),
        _("The host's address was changed, or its machine was set up anew."),
        _("Nothing was removed. Look at the host's images as they are now, and start again."),
    ),
    # Registries
    "registry_refused": Problem(
        _("The registry %(registry)s refused the connection."),
        _("It is not running, or listens on another port."),
        _("Check the address; from the host, `curl https://%(registry)s/v2/` shows whether it answers."),
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
    # What Drydock meets when it asks a registry itself
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
    "registry_prefix_taken": Problem(
        _("There is an account for %(prefix)s already."), "", _("Edit that one, or choose a longer prefix.")
    ),
    "registry_name_taken": Problem(
        _("There is a registry named %(name)s already."), "", _("Choose another name.")
    ),
    # Tags
    "tag_taken": Problem(
        _("%(subject)s names another image on %(host)s by now."),
        _("Somebody gave the tag to another image after this was asked for."),
        _("Look at both images, then tag again and say that the tag may be taken from the other one."),
    ),
    "reference_moved": Problem(
        _("%(subject)s names another image on %(host)s by now."),
        _("The tag was moved, or an image was pulled over it, after this was asked for."),
        _("Look at what it names now, and push that if it is meant."),
    ),
    "image_not_found": Problem(
        _("There is no %(subject)s."),
        _(
            "The name or the tag is misspelt, or it was removed. Private images look like this without an account."
        ),
        _("Check the spelling; for a private image add an account under Registries."),
    ),
    "all_tags_unsupported": Problem(
        _("%(host)s can not pull every tag at once."),
        _("It is a Podman host, whose service has no such pull."),
        _("Pull the tags one after another."),
    ),
    "platform_not_found": Problem(
        _("%(subject)s does not exist for this platform."),
        _("It was built for other processors only."),
        _("Choose another platform or another tag."),
    ),
    "reference_invalid": Problem(
        _("The engine does not take “%(subject)s” for a name."),
        "",
        _("Write it as registry/name:tag; repositories are in lower case."),
    ),
    # Archives between browser and host, or host and host
    "transfer_empty": Problem(_("None of these images is there any more."), "", _("Reload the list.")),
    "transfer_too_many": Problem(
        _("More than %(most)s images at once are not moved in one go."), "", _("Select fewer, and repeat it.")
    ),
    "save_one_host": Problem(
        _("An archive holds the images of one host; these are on several."),
        "",
        _("Select copies of one host, or make one archive for each host."),
    ),
    "image_partial": Problem(
        _("%(host)s holds only a part of %(subject)s, so it can not be moved."),
        _("It was pulled for another platform, or its content was not fetched in full."),
        _("Pull it on that host again, or take it from a host that holds all of it."),
    ),
    "copy_gone": Problem(
        _("%(subject)s is not on %(host)s any more."),
        _("It was removed or its tag was moved since the page was made."),
        _("Reload the page and choose again."),
    ),
    "copy_nowhere": Problem(
        _("These images are on the chosen hosts already: each is the one they come from."),
        "",
        _("Choose another host."),
    ),
    "copy_no_source": Problem(
        _("The host that the images come from is not registered any more, or you may not take images off it.")
    ),
    "copy_source_gone": Problem(
        _("%(subject)s is not on the host any more that it was to come from."),
        _("It was removed or its tag was moved since the page was made."),
        _("Reload the page and choose again."),
    ),
    "copy_source_lost": Problem(
        _("The connection to the host that the images come from was lost."),
        _("Its engine stopped, was restarted or hangs, or the network between it and Drydock broke."),
        _("Check that host, then start the copy again: images that have arrived in full are kept."),
    ),
    "copy_target_lost": Problem(
        _("The connection to %(host)s, where the images go to, was lost."),
        _("Its engine stopped, was restarted or hangs, or the network between it and Drydock broke."),
        _("Check that host, then start the copy again: images that have arrived in full are kept."),
    ),
    "transfer_not_begun": Problem(
        _("No browser came for the transfer within %(seconds)s seconds."),
        _("The page was closed or left before the transfer could begin."),
        _("Start it again and leave its page open until the transfer has begun."),
    ),
    "transfer_abandoned": Problem(
        _("The transfer broke off on the browser's side."),
        _("It was cancelled there, the page was closed, or the network broke."),
        _("Start it again."),
    ),
    "transfer_stalled": Problem(
        _("The browser moved no byte for a long time, so the transfer was given up."),
        _("The download was paused, or the network between the browser and Drydock hangs."),
        _("Start it again."),
    ),
    "transfer_signed_out": Problem(
        _("The transfer was stopped because the session it belonged to ended."),
        "",
        _("Sign in and start it again."),
    ),
    "transfer_no_worker": Problem(
        _("The upload began without this host: no worker was free for it in time."),
        _("All workers are busy, or the host does as many transfers as its limit allows already."),
        _("Upload the archive for this host again."),
    ),
    "transfer_incomplete": Problem(
        _("A part of the bytes got lost on the way."),
        _("Redis was restarted meanwhile."),
        _("Start it again."),
    ),
    "transfer_stopped": Problem(_("The transfer was stopped.")),
    "transfer_redis": Problem(
        _("Redis, which carries the bytes between the web server and the worker, is away."),
        "",
        _("Try again when it runs."),
    ),
    "archive_empty": Problem(_("The file is empty."), "", _("Choose the archive that `docker save` wrote.")),
    "archive_unknown": Problem(
        _("This file is no archive of images."),
        _("It does not begin as a tar archive does, plain or packed with gzip or zstd."),
        _("Choose a file that `docker save` wrote."),
    ),
    "archive_not_images": Problem(
        _("The archive holds no images."),
        _("It is a tar archive of something else, such as one that `docker export` wrote."),
        _("Choose a file that `docker save` wrote."),
    ),
    "archive_broken": Problem(
        _("The archive is damaged or cut off."),
        _("It was not written or copied to its end."),
        _("Make the archive anew, and compare the sizes."),
    ),
    "archive_refused": Problem(
        _("The engine of %(host)s stopped taking the archive."),
        _("It is damaged, or the engine has no room for it."),
        _("Check the archive and the host's disk."),
    ),
    # Builds
    "build_step_failed": Problem(
        _("A step ended with the exit code %(exit_code)s: %(step)s"),
        _("The command itself failed; its log below the step says why."),
        _("Read the end of the step's log, change the Dockerfile or the files it works on, and build again."),
    ),
    "build_failed": Problem(
        _("The engine of %(host)s could not carry out a step: %(step)s"),
        _("The engine's own words below say why; a network that is not there is a common cause."),
        _("Change what they speak of. Under “More options” another network or builder can be chosen."),
    ),
    "build_network": Problem(
        _("A step could not reach the network: %(step)s"),
        _("Package sources or another server can not be reached from a build on %(host)s. It said: %(line)s"),
        _(
            "Check DNS and the way out on that host. Behind a proxy give HTTP_PROXY and HTTPS_PROXY as build "
            "arguments; choose the host's network, or package sources that this host reaches."
        ),
    ),
    "build_syntax": Problem(
        _("The Dockerfile can not be read: %(detail)s (line %(line)s)"),
        _("An instruction is misspelt or incomplete."),
        _("Correct that line. The findings beside the Dockerfile name such faults before a build."),
    ),
    "build_dockerfile_missing": Problem(
        _("There is no Dockerfile at that place of the context."),
        _("It has another name, lies in another folder, or the context is not the folder that was meant."),
        _("Give the Dockerfile's path as seen from the context, such as docker/Dockerfile."),
    ),
    "build_target_missing": Problem(
        _("The Dockerfile has no stage named %(target)s."),
        "",
        _("Stages are named with FROM image AS name; leave the target empty for the last one."),
    ),
    "build_file_missing": Problem(
        _("A file that the Dockerfile copies is not in the context: %(file)s"),
        _("The path is misspelt or not below the context, or .dockerignore leaves the file out."),
        _("Paths of COPY and ADD are seen from the context's folder. Look at what the context holds."),
    ),
    "build_base_missing": Problem(
        _("The base image %(subject)s can not be had."),
        _("There is no such image or tag, or it is private and no account fits."),
        _("Check the name behind FROM; for a private image add an account under Registries."),
    ),
    "build_needs_session": Problem(
        _("The Dockerfile asks for a secret or an ssh key during the build."),
        _("No secret was given for it. An ssh agent is never lent to a build."),
        _("Give its secrets under More options, by the id that the mount names, and build again."),
    ),
    "buildx_missing": Problem(
        _("A build with secrets needs docker's buildx, which is not installed where Drydock's workers run."),
        "",
        _("Install the package `docker-buildx` there, or set BUILDX to the program's path."),
    ),
    "secrets_forgotten": Problem(
        _("This build can not be tried again as it was: its secrets were forgotten when it began."),
        "",
        _("Build it anew and give them again."),
    ),
    "build_arg_secret": Problem(
        _("The build argument %(name)s looks like a secret."),
        _("Build arguments end up in the image's history, where everybody who has the image can read them."),
        _("Give it as one of the secrets of the build, and mount it in the step that needs it."),
    ),
    "engine_too_old": Problem(
        _("The engine of %(host)s can not do what the build asks for: %(option)s"),
        _("The engine is older than this option, or it was asked to use its classic builder."),
        _("Choose BuildKit where the engine has it, update the engine, or leave the option out."),
    ),
    # Build contexts
    "context_too_large": Problem(
        _("The context is larger than %(limit)s."),
        _("It holds what a build does not need, such as data, logs, or the history in .git."),
        _("Send a smaller folder. Who runs Drydock can raise CONTEXT_LIMIT_BYTES."),
    ),
    "context_too_many": Problem(
        _("The context has more than %(limit)s files."),
        _("Folders such as node_modules or .git were packed along."),
        _("Leave them out of the archive, or send it as a tar archive."),
    ),
    "context_broken": Problem(
        _("The archive can not be read."),
        _("It is damaged or cut off, or it is neither tar (plain, gzip, bzip2, xz, zstd) nor zip."),
        _("Pack it anew and send it again."),
    ),
    "context_unsafe": Problem(
        _("The archive holds something that leads out of it or can not be read safely: %(name)s"),
        _("Names with “..” and files with holes are not taken."),
        _("Pack the folder anew, with names that begin inside it."),
    ),
    "context_empty": Problem(
        _("The context holds no file."), "", _("Choose the folder that the Dockerfile is in.")
    ),
    "context_folder_missing": Problem(
        _("The context has no folder %(folder)s with files in it."),
        "",
        _("Give the folder as seen from the top of the archive or repository."),
    ),
    "upload_gone": Problem(
        _("The files that were sent for this build are not there any more."),
        _("What is sent is kept for a day."),
        _("Send them again."),
    ),
    "upload_cut": Problem(_("The files did not arrive completely."), "", _("Send them again.")),
    "upload_failed": Problem(
        _("What was sent could not be stored."),
        _("The disk of the web server is full, or its spool folder can not be written."),
        _("Ask who runs Drydock; SPOOL_DIR names the folder."),
    ),
    "git_address": Problem(
        _("%(url)s is not an address that is cloned."),
        _("Only repositories behind https:// are."),
        _("Give the address as https://machine/path.git, or send the files as an archive."),
    ),
    "git_credentials": Problem(
        _("The address holds a name or a password."),
        _("It would be shown to everybody who sees the job."),
        _("Leave it out. Send the files of a private repository as an archive."),
    ),
    "git_no_program": Problem(
        _("The program git is not installed where the workers run."),
        "",
        _("Install git there, or send the files as an archive."),
    ),
    "git_ref_missing": Problem(
        _("%(url)s has no branch, tag or commit %(ref)s."),
        _("The name is misspelt, or the branch was removed."),
        _("Check the name; leave it empty for the default branch."),
    ),
    "git_refused": Problem(
        _("%(url)s does not let Drydock in."),
        _("The repository is private, or there is none of this name."),
        _("Check the address; send the files of a private repository as an archive."),
    ),
    "git_not_found": Problem(_("There is no repository at %(url)s."), "", _("Check the address.")),
    "git_unreachable": Problem(
        _("The machine of %(url)s can not be reached from Drydock's worker."),
        _("The name is misspelt, the machine is down, or a firewall is in between."),
        _("Check the address, or send the files as an archive."),
    ),
    "git_timeout": Problem(
        _("%(url)s was not fetched within %(seconds)s seconds."),
        _("The repository is very large, or the machine is slow."),
        _("Try again, or send the files as an archive."),
    ),
    "git_failed": Problem(_("git could not fetch %(url)s."), "", _("Its own words below say why.")),
    # Jobs
    "job_lost": Problem(
        _("The worker that carried this out went silent."),
        _("It was killed, or its machine was."),
        _("Look at the items: what is marked as done was done. Start the rest again."),
    ),
    "job_no_retry": Problem(
        _("This job can not be started again."),
        _("It is still going on, its host is switched off, or repeating it would mean something else."),
        _("Start what you mean anew from the images or the host."),
    ),
    "job_deadline": Problem(
        _("This took longer than %(limit)s and was stopped."),
        _("The engine hangs, or it is very busy."),
        _("Check the host, then try again."),
    ),
    # Cleanup
    "cleanup_paused": Problem(
        _("All cleanup is paused."),
        _("Somebody used the one switch that stops it."),
        _("Let it go on from the page of policies, then start again."),
    ),
    "plan_not_ready": Problem(
        _("The plan is not ready yet."),
        "",
        _("Wait until it is made, or make a new one."),
    ),
    "plan_expired": Problem(
        _("The plan has expired."),
        _("A plan is good for a limited time, because the hosts change."),
        _("Make a new preview and look at it."),
    ),
    "plan_outdated": Problem(
        _("The policy was changed after this plan was made."),
        "",
        _("Make a new preview and look at it."),
    ),
    "plan_used": Problem(
        _("This plan was run already."),
        "",
        _("Make a new preview: it says what is left."),
    ),
    "plan_empty": Problem(
        _("The plan removes nothing."),
        "",
        "",
    ),
    "policy_off": Problem(
        _("The policy was switched off before the run came to this image."),
        "",
        _("Switch it on again, or run a new preview by hand."),
    ),
    "right_withdrawn": Problem(
        _("Who started the run may not run cleanup on this host any more."),
        "",
        _("Somebody with that right can make a new preview and run it."),
    ),
    "out_of_scope": Problem(
        _("The host left the policy's scope before the run came to this image."),
        "",
        _("Make a new preview: it shows the hosts as they are now."),
    ),
    "use_lost": Problem(
        _("Whether a container used it since the preview can not be told."),
        _("The host's events were not followed without a gap, and the rule goes by last use."),
        _("Make a new preview: it goes by what is known then."),
    ),
    "not_in_inventory": Problem(
        _("Drydock has no picture of this image at the moment."),
        _("It was removed and came again, or the host was not followed for a while."),
        _("Wait for the next picture of the host, then make a new preview."),
    ),
    "run_not_waiting": Problem(
        _("This run does not wait for approval."),
        _("Somebody else approved or cancelled it."),
        "",
    ),
    "run_ended": Problem(
        _("This run has ended already."),
        "",
        "",
    ),
    "policy_running": Problem(
        _("A run of “%(policy)s” is going on."),
        "",
        _("Wait for its end or cancel it, then try again."),
    ),
    "not_answered": Problem(
        _("The engine never answered the request."),
        _("It hangs or was stopped; it may still carry the request out when it wakes."),
        _("Drydock looks again at the next sync and writes down what became of it."),
    ),
    "not_reached": Problem(
        _("The run ended before it came to this image."),
        "",
        _("Make a new preview for what is left."),
    ),
    "run_cancelled": Problem(
        _("The run was cancelled before it came to this image."),
        "",
        "",
    ),
    "disk_full": Problem(
        _("The disk of %(host)s is full."),
        "",
        _("Free space: the host's page shows what removing unused images would free."),
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
    "not_carried_out": Problem(
        _("The engine did not remove it."),
        _("It stopped answering in the middle of the work."),
        _("Make a new preview."),
    ),
    "used_since": Problem(_("A container used it after the preview was made.")),
}
