"""Reading the params of requests; what does not fit is answered with -32602."""

from __future__ import annotations

from pathlib import Path

from acprelay.testing.demo_agent.rpc import INVALID_PARAMS, JsonObject, RpcError


def bad_params(name: str, what: str) -> RpcError:
    """Returns the error for a member that is absent, or is something else than it should be."""
    return RpcError(INVALID_PARAMS, f"cannot read the request: {name} must be {what}")


def params_of(request: JsonObject) -> JsonObject:
    """Returns a request's params; absent ones are empty.

    Raises:
        RpcError: They are no object.
    """
    params = request.get("params", {})
    if not isinstance(params, dict):
        raise bad_params("params", "an object")
    return params


def string(params: JsonObject, name: str) -> str:
    """Returns a member that is a string.

    Raises:
        RpcError: It is not.
    """
    value = params.get(name)
    if not isinstance(value, str):
        raise bad_params(name, "a string")
    return value


def directory(params: JsonObject, name: str) -> Path:
    """Returns a member that is the absolute path of a directory.

    Raises:
        RpcError: It is not.
    """
    path = Path(string(params, name))
    try:
        usable = path.is_absolute() and path.is_dir()
    except OSError:  # a name that is too long
        usable = False
    if not usable:
        raise bad_params(name, "the absolute path of a directory")
    return path


def prompt_text(params: JsonObject) -> str:
    """Returns the text of a prompt: its text blocks, and the names of the resources it links to.

    Raises:
        RpcError: It is no list of content blocks, or holds a kind that initialize did not offer.
    """
    blocks = params.get("prompt")
    if not isinstance(blocks, list):
        raise bad_params("prompt", "a list of content blocks")
    return "\n".join(_block_text(block) for block in blocks)


def _block_text(block: object) -> str:
    if not isinstance(block, dict):
        raise bad_params("prompt", "a list of content blocks")
    match block.get("type"):
        case "text":
            return string(block, "text")
        case "resource_link":
            return string(block, "name")
        case kind:
            raise RpcError(
                INVALID_PARAMS,
                f"cannot take content of type {str(kind)[:80]!r}",
                hint="send text or resource_link blocks, as promptCapabilities says",
            )
