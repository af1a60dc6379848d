"""The address of webhooks: `path("webhooks/esim", include("esimhooks.django.urls"))`, under WSGI and ASGI alike."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from esimhooks.django import receiver


@csrf_exempt  # the sender is known by its signature
@transaction.non_atomic_requests  # what is answered with 200 has been committed
def take(request: HttpRequest) -> HttpResponse:
    """Answer one webhook; handlers are called in this process, in the background."""
    receiver.start()
    body = request.read(receiver.max_body_bytes + 1)  # not limited by Django's own setting for forms
    answer = receiver.take(body, request.headers, method=request.method or "")
    return HttpResponse(answer.content, status=answer.status, headers=dict(answer.headers))


urlpatterns = [path("", take)]
