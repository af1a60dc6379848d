"""Settings, URLs and the two applications of the project, here in one file.

gunicorn --chdir examples/receivers/django_project project:application
uvicorn --app-dir examples/receivers/django_project project:asgi_application
"""

import os
from pathlib import Path

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project")
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only for this example")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "project"
INSTALLED_APPS = ["esimhooks.django", "shop"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DJANGO_DATABASE", Path(__file__).with_name("shop.db")),
        "OPTIONS": {"init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"},
    }
}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ESIMHOOKS = {"SECRET": os.environ["ESIMHOOKS_WEBHOOK_SECRET"]}
urlpatterns = [path("webhooks/esim", include("esimhooks.django.urls"))]


application = get_wsgi_application()
asgi_application = get_asgi_application()
