"""A Django project whose webhooks share the database and its transactions with the ORM.

python examples/receivers/django_project/manage.py migrate --run-syncdb
python examples/receivers/django_project/manage.py runserver
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project")
execute_from_command_line(sys.argv)
