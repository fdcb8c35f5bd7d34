"""Signs the answer to every verified call, refusals included.

It stands outside everything that may still change an answer's body (compression, error pages). A streamed answer has no
digest when its headers leave and stays unsigned; endpoints for nodes do not stream.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from biaojie.base import clock
from biaojie.foundation.nodes.identity import this_node
from biaojie.foundation.nodes.signing import VerifiedCall, sign_answer


class SignedAnswers:
    """Adds `Content-Digest`, `Signature-Input` and `Signature` where `NodeAuth` has verified the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        call = getattr(request, "node_call", None)
        if isinstance(call, VerifiedCall) and isinstance(response, HttpResponse):
            headers = sign_answer(this_node().key, call, response.status_code, response.content, now=clock.now())
            for name, value in headers.items():
                response.headers[name] = value
        return response
