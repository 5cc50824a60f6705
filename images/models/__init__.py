"""Everything images/ stores."""

from images.models.audit import AuditEntry
from images.models.claim import Claim
from images.models.git_account import GitAccount
from images.models.host import CheckState, Host, HostCheck, HostGroup, HostState, StoreKind
from images.models.image import Container, Copy, Image, ImageLayer, Layer, Pin, Reference
from images.models.job import ItemState, Job, JobItem, JobLog, JobSecret, JobState
from images.models.people import Grant, Permission, Role, Team, User
from images.models.registry import Registry, RemoteTag
from images.models.sign_in import SignInAttempt
from images.models.upload import Upload, UploadState

__all__ = [
    "AuditEntry",
    "CheckState",
    "Claim",
    "Container",
    "Copy",
    "GitAccount",
    "Grant",
    "Host",
    "HostCheck",
    "HostGroup",
    "HostState",
    "Image",
    "ImageLayer",
    "ItemState",
    "Job",
    "JobItem",
    "JobLog",
    "JobSecret",
    "JobState",
    "Layer",
    "Permission",
    "Pin",
    "Reference",
    "Registry",
    "RemoteTag",
    "Role",
    "SignInAttempt",
    "StoreKind",
    "Team",
    "Upload",
    "UploadState",
    "User",
]
