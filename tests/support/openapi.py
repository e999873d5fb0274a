"""As much of OpenAPI 3.1 and JSON Schema as tests need to hold answers against a document."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = frozenset(
    "$ref oneOf type enum const pattern minimum maxLength format required properties additionalProperties items description".split()
)


@dataclass(slots=True)
class Document:
    """One document; seen: every (path, method, status) that a test has observed in it."""

    whole: Mapping[str, Any]
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> "Document":
        """The document in a file."""
        return cls(json.loads(path.read_text()))

    def resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """`part`, or what its `$ref` points to."""
        if "$ref" not in part:
            return part
        found: Any = self.whole
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return self.resolved(found)

    def operations(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Every operation by (path, method)."""
        return {
            (path, method): operation
            for path, item in self.whole["paths"].items()
            for method, operation in item.items()
            if method in ("get", "post", "put", "delete", "patch")
        }

    def documented(self) -> set[tuple[str, str, str]]:
        """Every (path, method, status)."""
        return {(*where, status) for where, one in self.operations().items() for status in one["responses"]}

    def observe(self, path: str, answer: httpx.Response) -> httpx.Response:
        """Hold an answer against what is said of `path`, and remember it."""
        method, status = answer.request.method.lower(), str(answer.status_code)
        where = f"{method} {path} {status}"
        responses = self.operations()[path, method]["responses"]
        assert status in responses, f"{where} is not documented: {answer.text[:200]}"
        said = self.resolved(responses[status])
        media = answer.headers.get("content-type", "").split(";")[0]
        if "content" in said:
            assert media in said["content"], f"{where}: {media}"
            if media == "application/json":
                faults = self.faults(answer.json(), said["content"][media]["schema"])
                assert faults == [], f"{where}: {faults}"
        else:
            assert answer.content == b"", where
        for name, header in said.get("headers", {}).items():
            assert self.faults(answer.headers[name], header["schema"]) == [], f"{where}: {name}"
        self.seen.add((path, method, status))
        return answer

    def faults(self, value: object, schema: Mapping[str, Any], at: str = "value") -> list[str]:
        """Where `value` is not as `schema` says."""
        schema = self.resolved(schema)
        assert schema.keys() <= KNOWN, f"{schema.keys() - KNOWN} is not known here"
        if "oneOf" in schema:
            tries = [self.faults(value, one, at) for one in schema["oneOf"]]
            return [] if tries.count([]) == 1 else [f"{at} is not exactly one of them: {tries}"]
        kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema["type"]]
        fits = any(isinstance(value, TYPES[kind]) and (kind == "boolean" or type(value) is not bool) for kind in kinds)
        if not fits:
            return [f"{at} is not of type {kinds}"]
        found = []
        if "const" in schema and value != schema["const"]:
            found.append(f"{at} is not {schema['const']!r}")
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{at} is none of {schema['enum']}")
        if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
            found.append(f"{at} does not match {schema['pattern']}")
        if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
            found.append(f"{at} is too long")
        if isinstance(value, int) and value < schema.get("minimum", value):
            found.append(f"{at} is below {schema['minimum']}")
        if isinstance(value, list) and "items" in schema:
            for place, one in enumerate(value):
                found += self.faults(one, schema["items"], f"{at}[{place}]")
        return found + (self._fields(value, schema, at) if isinstance(value, dict) and "properties" in schema else [])

    def _fields(self, value: Mapping[str, object], schema: Mapping[str, Any], at: str) -> list[str]:
        known = schema["properties"]
        assert schema["additionalProperties"] is False
        found = [f"{at} lacks {name}" for name in schema["required"] if name not in value]
        found += [f"{at} has {name}, which is not documented" for name in value if name not in known]
        return found + [
            fault
            for name, one in value.items()
            if name in known
            for fault in self.faults(one, known[name], f"{at}.{name}")
        ]

    def examples(self) -> list[tuple[object, Mapping[str, Any]]]:
        """Every JSON example with its schema."""
        found: list[tuple[object, Mapping[str, Any]]] = []

        def look(part: object) -> None:
            if isinstance(part, dict):
                if "schema" in part:
                    found.extend((one["value"], part["schema"]) for one in part.get("examples", {}).values())
                    if "example" in part:
                        found.append((part["example"], part["schema"]))
                for one in part.values():
                    look(one)
            elif isinstance(part, list):
                for one in part:
                    look(one)

        look(self.whole)
        return found
