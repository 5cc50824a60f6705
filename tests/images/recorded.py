"""An engine that answers with documents as real ones wrote them: for versions no test can start."""

from typing import Any, cast

from docker.errors import APIError, ImageNotFound, NotFound

from images.engine.client import Connection, Engine


class RecordedApi:
    """The calls that reading makes, counted, on documents that a test may change between two syncs."""

    def __init__(self) -> None:
        self.image_rows: list[dict[str, Any]] = []
        self.container_rows: list[dict[str, Any]] = []
        self.documents: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.container_documents: dict[str, dict[str, Any]] = {}
        self.cache: list[dict[str, Any]] | None = None
        self.refuses = ""
        self.vanishing = 0  # how many lists fail because an image goes meanwhile
        self.asked: list[str] = []

    def images(self, **_: Any) -> list[dict[str, Any]]:
        self.asked.append("images")
        if self.refuses:
            raise APIError(self.refuses)
        if self.vanishing:
            self.vanishing -= 1
            raise NotFound("content digest sha256:3fea: not found")
        return self.image_rows

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        self.asked.append("containers")
        return self.container_rows

    def inspect_image(self, name: str) -> dict[str, Any]:
        self.asked.append("inspect")
        for document in self.documents.values():
            if name in (document["Id"], *(document.get("RepoTags") or ())):
                return document
        raise ImageNotFound(f"No such image: {name}")

    def history(self, name: str) -> list[dict[str, Any]]:
        self.asked.append("history")
        return self.histories[name]

    def _url(self, path: str) -> str:
        return path

    def _get(self, path: str, **_: Any) -> str:
        return path

    def _result(self, path: str, **_: Any) -> dict[str, Any]:
        self.asked.append("cache")
        return {"BuildCache": self.cache}

    def add(
        self, number: int, *names: str, layers: tuple[int, ...] = (1,), parent: str = "", **fields: Any
    ) -> str:
        """An image of layers of 100 bytes times their number; gives its ID."""
        engine_id = f"sha256:{number:064x}"
        diff_ids = [f"sha256:{layer:064x}" for layer in layers]
        self.image_rows.append(
            {"Id": engine_id, "ParentId": parent, "RepoTags": list(names) or None, "Size": 100 * sum(layers),
             "Created": 1760000000, "Labels": None, "Unknown": {"new": "field"}}
        )  # fmt: skip
        self.documents[engine_id] = {
            "Id": engine_id, "RepoTags": list(names), "Architecture": "amd64", "Os": "linux",
            "Parent": parent, "Created": "2026-01-01T00:00:00.123456789Z", "Config": {"Cmd": [str(number)]},
            "Size": 100 * sum(layers),
            "RootFS": {"Type": "layers", "Layers": diff_ids},
        } | fields  # fmt: skip
        self.histories[engine_id] = [
            {"CreatedBy": f"COPY {layer} /", "Size": 100 * layer, "Created": 1760000000}
            for layer in reversed(layers)
        ]
        return engine_id

    def drop(self, engine_id: str) -> None:
        self.image_rows = [row for row in self.image_rows if row["Id"] != engine_id]
        self.documents.pop(engine_id, None)

    def run(self, name: str, image_id: str, state: str = "running") -> str:
        container_id = f"{len(self.container_rows) + 1:064x}"
        self.container_rows.append(
            {
                "Id": container_id,
                "Names": [f"/{name}"],
                "ImageID": image_id,
                "Image": "x",
                "State": state,
                "Created": 1,
            }
        )
        return container_id


def recorded_engine(api: RecordedApi) -> Engine:
    class NoSockets:
        is_cut = False

    return Engine(Connection("unix:///recorded"), api, cast("Any", NoSockets()), "20.10.24")
