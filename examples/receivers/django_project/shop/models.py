"""What the shop stores about an eSIM."""

from django.db import models


class Activation(models.Model):
    """An eSIM that is in use."""

    esim = models.CharField(max_length=64)
    iccid = models.CharField(max_length=20)
    at = models.DateTimeField()

    def __str__(self) -> str:
        """Return its id."""
        return self.esim
