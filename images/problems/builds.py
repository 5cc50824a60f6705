"""Builds, and what is sent for them."""

from django.utils.translation import gettext_lazy as _

from images.problems.problem import Problem

BUILDS: dict[str, Problem] = {
    # The build
    "build_step_failed": Problem(
        _("A step ended with the exit code %(exit_code)s: %(step)s"),
        _("The command itself failed; its log below the step says why."),
        _("Read the end of the step's log, change the Dockerfile or the files it works on, and build again."),
    ),
    "build_step_killed": Problem(
        _("A step was killed: %(step)s"),
        _(
            "Most likely %(host)s ran out of memory; the engine itself still runs. The exit code was %(exit_code)s."
        ),
        _(
            "On that host, `journalctl -k` names what was killed for want of memory. Have the step do less at once, "
            "such as `make -j2`, let the host do fewer builds at a time, or give it more memory; then build again."
        ),
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
    # Its context
    "context_too_large": Problem(
        _("The context is larger than %(limit)s."),
        _("It holds what a build does not need, such as data, logs, or the history in .git."),
        _("Leave that out. Who runs Drydock can raise CONTEXT_LIMIT_BYTES."),
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
    "upload_failed": Problem(
        _("What was sent could not be stored."),
        _("The disk of the web server is full, or its spool folder can not be written."),
        _("Ask who runs Drydock; SPOOL_DIR names the folder."),
    ),
    "context_ignore": Problem(
        _("Line %(line)s of %(file)s can not be read: %(detail)s."),
        _("Docker refuses such a pattern as well, or one with so many wildcards would take for ever."),
        _("Write the pattern in a simpler way, and escape brackets that are meant as such."),
    ),
    "git_address": Problem(
        _("%(url)s is not an address that is cloned."),
        _("Only repositories behind https:// are."),
        _("Give the address as https://machine/path.git, or send the files as an archive."),
    ),
    "git_credentials": Problem(
        _("The address holds a name or a password."),
        _("It would be shown to everybody who sees the job."),
        _(
            "Leave it out. For a private repository, who manages all hosts adds a git account under Registries."
        ),
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
        _("The repository is private and no git account fits its address, or there is none of this name."),
        _(
            "Check the address. For a private repository, who manages all hosts adds a git account under "
            "Registries; or send the files as an archive."
        ),
    ),
    "git_account_refused": Problem(
        _("%(url)s does not let the git account %(account)s in."),
        _("Its token or password is wrong, has expired or was revoked, or may not read this repository."),
        _(
            "Who manages all hosts enters a new one under Registries: a token that may read repositories, where "
            "the server has such."
        ),
    ),
    "git_account_blind": Problem(
        _("The git account %(account)s finds no repository at %(url)s."),
        _(
            "The address is misspelt, or the account may not read this repository: servers say then that there is none."
        ),
        _("Check the address; on that server, let the account read the repository."),
    ),
    "git_not_found": Problem(
        _("There is no repository at %(url)s."),
        _("The address is misspelt, or the repository is private: some servers say then that there is none."),
        _(
            "Check the address. For a private repository, who manages all hosts adds a git account under "
            "Registries; or send the files as an archive."
        ),
    ),
    "git_moved": Problem(
        _("%(url)s leads to another address."),
        _("The repository was moved. An account is sent to no address but its own."),
        _("Give the address that it leads to; a browser shows it. Often only .git is missing at its end."),
    ),
    "git_tls": Problem(
        _("The certificate of %(url)s is not trusted by Drydock's worker."),
        _("It is signed by a CA of your own, or has expired."),
        _(
            "Put your CA's certificate into the git account under Registries. Without an account, name its file in "
            "GIT_SSL_CAINFO where the workers run, or send the files as an archive."
        ),
    ),
    "git_unreachable": Problem(
        _("The machine of %(url)s can not be reached from Drydock's worker."),
        _("The name is misspelt, the machine is down, or a firewall is in between."),
        _("Check the address, or send the files as an archive."),
    ),
    "git_not_stored": Problem(
        _("What was fetched from %(url)s could not be stored."),
        _("The disk of the machine of Drydock's workers is full, or its spool folder can not be written."),
        _("Ask who runs Drydock; SPOOL_DIR names the folder."),
    ),
    "git_timeout": Problem(
        _("%(url)s was not fetched within %(seconds)s seconds."),
        _("The repository is very large, or the machine is slow."),
        _("Try again, or send the files as an archive."),
    ),
    "git_submodule": Problem(
        _("%(url)s has a submodule at %(path)s that can not be fetched: %(submodule)s."),
        _("Only what is behind https:// without a password is."),
        _("Send the files as an archive, with the submodule in it."),
    ),
    "git_submodules": Problem(
        _("%(url)s has more than %(most)s submodules, or they are nested too deep."),
        "",
        _("Send the files as an archive."),
    ),
    "git_failed": Problem(_("git could not fetch %(url)s."), "", _("Its own words below say why.")),
}
