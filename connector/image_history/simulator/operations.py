"""The five operations on the world: the answers to valid requests.

Knows nothing of HTTP. Everything here runs while the world's lock is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from image_history.simulator import protocol
from image_history.simulator.calls import Answer, Call
from image_history.simulator.paging import Names, Pager
from image_history.simulator.protocol import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from image_history.simulator.contents import ImageContents, ImageRecord, ImageTable
    from image_history.simulator.model import VersionRecord
    from image_history.simulator.registry import Registry
    from image_history.simulator.table import Table


class Operations:
    """Answers calls from a world."""

    def __init__(self, world: Registry) -> None:
        self._world = world
        self._pager = Pager()
        self._answers: dict[str, Callable[[Call[Any]], Answer]] = {
            "ListImages": self._list_images,
            "ListImageVersions": self._list_image_versions,
            "DescribeImage": self._describe_image,
            "DescribeImageVersion": self._describe_image_version,
            "ListAliases": self._list_aliases,
        }

    def answer(self, call: Call[Any]) -> Answer:
        """Answer one call. AwsError if the service would answer with an error."""
        return self._answers[call.operation](call)

    def _list_images(self, call: Call[protocol.ListImages]) -> Answer:
        rows, token = self._pager.select(call, self._world.images(call.scope).at(call.visible_ms))
        arns = self._world.rules.arns
        parts = [protocol.encode(protocol.image_row(image, call.scope, arns)) for image in rows]
        return _list_answer(b"Images", parts, token)

    def _list_image_versions(self, call: Call[protocol.ListImageVersions]) -> Answer:
        image = self._listed_image(call)
        rows, token = self._pager.select(call, image.contents.versions.at(call.visible_ms))
        arns = self._world.rules.arns
        writer = protocol.VersionWriter(call.scope, image.name, arns)
        for record in rows:
            if record.encoded_for is not arns:
                record.encoded = writer.write(record)
                record.encoded_for = arns
        return _list_answer(b"ImageVersions", [record.encoded for record in rows], token)

    def _list_aliases(self, call: Call[protocol.ListAliases]) -> Answer:
        image, wanted = self._listed_image(call), call.request
        version = wanted.version
        if version is not None and image.contents.versions.at(call.visible_ms).get(version) is None:
            raise _no_version(image.name, version)
        names = sorted(
            alias
            for alias, target in image.contents.aliases.at(call.visible_ms).items()
            if wanted.alias in (None, alias) and version in (None, target)
        )
        rows, token = self._pager.cut(call, Names(names))
        return _list_answer(b"SageMakerImageVersionAliases", [protocol.encode(name) for name in rows], token)

    def _describe_image(self, call: Call[protocol.DescribeImage]) -> Answer:
        image = self._existing(call, self._world.images(call.scope))
        return Answer(protocol.encode(protocol.image_answer(image, call.scope, self._world.rules.arns)))

    def _describe_image_version(self, call: Call[protocol.DescribeImageVersion]) -> Answer:
        image = self._world.images(call.scope).get(call.image_name)
        if image is None:
            raise _no_version(call.image_name, call.request.version)
        record = _described(call, image.contents)
        row = protocol.version_row(record, call.scope, image.name, self._world.rules.arns)
        return Answer(protocol.encode(protocol.version_answer(row, image.contents.details_of(record))))

    def _listed_image(self, call: Call[protocol.Request]) -> ImageRecord:
        images: ImageTable = self._world.images(call.scope)
        return self._existing(call, images.at(call.visible_ms))

    def _existing(self, call: Call[protocol.Request], images: Table[str, ImageRecord]) -> ImageRecord:
        image = images.get(call.image_name)
        if image is None:
            arn = self._world.rules.arns.image(call.scope, call.image_name)
            raise AwsError("ResourceNotFound", f"Image with ARN {arn} does not exist")
        return image


def _described(call: Call[protocol.DescribeImageVersion], contents: ImageContents) -> VersionRecord:
    name, version, alias = call.image_name, call.request.version, call.request.alias
    if alias is not None:
        target = contents.aliases.targets.get(alias)
        if target is None or version not in (None, target):
            text = f"ImageVersion with ImageName {name} and Alias {alias} does not exist."
            raise AwsError("ResourceNotFound", text)
        version = target
    record = contents.versions.latest() if version is None else contents.versions.get(version)
    if record is None:
        raise _no_version(name, version)
    return record


def _no_version(name: str, version: int | None) -> AwsError:
    text = f"ImageVersion with ImageName {name} and Version {version} does not exist."
    if version is None:
        text = f"Latest ImageVersion with ImageName {name} does not exist. Please provide a valid ImageName."
    return AwsError("ResourceNotFound", text)


def _list_answer(member: bytes, rows: Sequence[bytes], token: str | None) -> Answer:
    # Rows are encoded once and joined here; an empty list is written too.
    following = b"" if token is None else b',"NextToken":"%b"' % token.encode()
    return Answer(b'{"%b":[%b]%b}' % (member, b",".join(rows), following), len(rows))
