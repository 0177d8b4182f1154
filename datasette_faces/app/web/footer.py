"""What the end of every page of a site says: who is asked, and the licence. Errors have no request."""

from __future__ import annotations

from typing import Any

from ..datasette import compat, permissions


def prepare(env: Any, datasette: Any) -> None:
    """Give templates `faces_footer()`: pages of errors get none of the variables that others have."""

    async def faces_footer() -> dict[str, str] | None:
        """The takedown address and the licence; None where no `site` is configured."""
        told = _site(datasette)
        if not told:
            return None
        known = await compat.instance_metadata(datasette)
        licence = {name: str(known.get(name) or "") for name in ("license", "license_url")}
        return {"takedown": str(told.get("takedown") or "").strip(), **licence}

    env.globals["faces_footer"] = faces_footer


def _site(datasette: Any) -> dict[str, Any]:
    for database in datasette.databases:
        if found := permissions.setting(datasette, database, "site"):
            return dict(found)
    return {}
