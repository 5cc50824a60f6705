"""Removing images, their names, and archives of them."""

from django.utils.translation import gettext_lazy as _

from images.problems.problem import Problem

IMAGES: dict[str, Problem] = {
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
    "image_gone": Problem(
        _("The image was gone already."), "", _("If it is still needed, pull or build it again.")
    ),
    "untag_removed": Problem(
        _(
            "While %(reference)s was taken away it moved to another image, and the engine removed that one: %(image)s"
        ),
        _("Somebody built or pulled under the same name in that moment."),
        _("Pull or build %(reference)s again if it is needed."),
    ),
    "reference_gone": Problem(_("The reference was gone already.")),
    "removal_needs_force": Problem(
        _("None of these can be removed as it is."),
        _("Containers use all of them."),
        _("Remove the containers first, or tick the box for those of stopped containers and press again."),
    ),
    "filter_invalid": Problem(
        _("Which images are meant is not clear: %(errors)s"),
        _("A filter of the address is not valid, or names what is gone or what you may not see."),
        _("Mend the filters above the list, or clear them."),
    ),
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
    # Names
    "tag_taken": Problem(
        _("%(subject)s names another image on %(host)s by now."),
        _("Somebody gave the tag to another image after this was asked for."),
        _("Look at both images, then tag again and say that the tag may be taken from the other one."),
    ),
    "reference_moved": Problem(
        _("%(subject)s names another image on %(host)s by now."),
        _("The tag was moved, or an image was pulled over it, after this was asked for."),
        _("Look at what it names now, and choose that if it is meant."),
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
        _("An archive holds the images of one host, and no host has all of these."),
        "",
        _("Make one archive for each host, or copy what is missing to one of them first."),
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
        _(
            "The host that the images come from is switched off or not registered any more, or you may not take "
            "images off it."
        ),
        "",
        _(
            "Copy them from another host that has them, or ask an admin for a role that may push from that one."
        ),
    ),
    "copy_source_gone": Problem(
        _("%(subject)s is not on the host any more that it was to come from."),
        _("It was removed or its tag was moved since the page was made."),
        _("Reload the page and choose again."),
    ),
    "copy_source_full": Problem(
        _("The disk of the host that the images come from is full."),
        _("Its engine writes an archive to its own disk before it sends it."),
        _("Free space there, or choose the images on another host that has them."),
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
    "transfer_incomplete": Problem(
        _("A part of the bytes got lost on the way."),
        _("Redis was restarted meanwhile."),
        _("Start it again."),
    ),
    "transfer_stopped": Problem(
        _("The transfer was stopped."), "", _("Start it again if it is still wanted.")
    ),
    "transfer_redis": Problem(
        _("Redis, which carries the bytes between the web server and the worker, is away."),
        "",
        _("Try again when it runs."),
    ),
    "archive_empty": Problem(_("The file is empty."), "", _("Choose the archive that `docker save` wrote.")),
    "archive_unknown": Problem(
        _("This file is no archive of images."),
        _("It does not begin as a tar archive does, plain or packed with gzip, bzip2, xz or zstd."),
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
}
