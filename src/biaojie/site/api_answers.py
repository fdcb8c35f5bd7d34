"""What HTTP asks of every address of the API and the router does not do: HEAD where there is GET, OPTIONS, refusals in form.

The router answers a method it does not know in plain text; under `/api/` every refusal has the envelope's form, and under
`/api/handles` that of the Handle JSON interface.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from biaojie.foundation.ui.answers import HTTP_MESSAGES
from biaojie.handle.codes import ResponseCode
from biaojie.site.views import error_answer

_HANDLES = "/api/handles"


class ApiAnswers:
    """Stands around the views, inside all that adds headers to answers or signs them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith("/api/"):
            return self.get_response(request)
        asked = request.method
        if asked == "HEAD":
            # RFC 9110 §9.3.2: as GET would; the server sends no body.
            request.method = "GET"
        try:
            response = self.get_response(request)
        finally:
            request.method = asked
        allowed = _allowed(response)
        if response.status_code == 405 and asked == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": allowed})
        if response.status_code < 400 or "json" in response.headers.get("Content-Type", ""):
            return response
        answer = _refusal(request.path, response.status_code)
        if allowed:
            answer.headers["Allow"] = allowed
        return answer


def _allowed(response: HttpResponseBase) -> str:
    """The methods of a 405, with those that are answered here."""
    methods = {name.strip() for name in response.headers.get("Allow", "").split(",")} - {""}
    if not methods:
        return ""
    return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))


def _refusal(path: str, http: int) -> JsonResponse:
    if path == _HANDLES or path.startswith(f"{_HANDLES}/"):
        code = ResponseCode.OPERATION_NOT_SUPPORTED if http == 405 else ResponseCode.ERROR
        return JsonResponse({"responseCode": int(code), "message": HTTP_MESSAGES.get(http, ("", "请求被拒绝"))[1]}, status=http)
    return error_answer(http)
