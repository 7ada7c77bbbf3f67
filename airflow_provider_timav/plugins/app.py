"""The application under ``/timav``: serves the page's own files, and two lists as JSON. No route changes anything.

**Stop now** and **Extend** are requests of the page to Airflow's own REST API. So Airflow itself authorises them, refuses
requests from other sites, and writes its audit log.

Each route requires a login, those of the files too: Airflow mounts a plugin's application without authentication.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from fastapi import Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from airflow_provider_timav.plugins.broadcast_rows import broadcasts
from airflow_provider_timav.plugins.recording_rows import recordings
from airflow_provider_timav.plugins.rights import Rights

__all__ = ["make_app"]

FOLDER: Final = Path(__file__).parent / "static"
MEDIA_TYPES: Final = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}

# No other site may embed a response to a user who is logged in.
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
_LISTS: Final = {**_HEADERS, "Cache-Control": "no-store"}
_FILES: Final = {**_HEADERS, "Cache-Control": "private, no-cache"}


def make_app() -> FastAPI:
    """Return the application. Raises at once if this Airflow lacks an internal interface that it depends on."""
    app = FastAPI(title="TIM AV", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])
    app.add_api_route("/on-air", on_air, methods=["GET"])
    app.add_api_route("/recordings", recent, methods=["GET"])
    for file in sorted(FOLDER.iterdir()):
        if file.suffix in MEDIA_TYPES:
            app.add_api_route(f"/{file.name}", _serve(file), methods=["GET"])
    return app


def on_air(user: GetUserDep, session: SessionDep) -> Response:
    """Return the broadcasts of the DAGs that the user may read, and which of them the user may stop or extend."""
    now = datetime.now(UTC)
    rights = Rights(get_auth_manager(), user, session)
    rows = broadcasts(session, rights, now=now)
    return JSONResponse({"now": now.isoformat(), "broadcasts": rows}, headers=_LISTS)


def recent(user: GetUserDep, session: SessionDep) -> Response:
    """Return the newest recordings of the DAGs that the user may read."""
    rights = Rights(get_auth_manager(), user, session)
    return JSONResponse({"recordings": recordings(session, rights)}, headers=_LISTS)


def _serve(file: Path) -> Any:
    """Return a route for a file. Browsers revalidate their copy on each use, which costs no transfer."""
    tag = f'"{hashlib.sha256(file.read_bytes()).hexdigest()[:32]}"'
    headers = {**_FILES, "ETag": tag}

    async def serve(request: Request) -> Response:
        if request.headers.get("If-None-Match") == tag:
            return Response(status_code=304, headers=headers)
        return FileResponse(file, media_type=MEDIA_TYPES[file.suffix], headers=headers)

    return serve
