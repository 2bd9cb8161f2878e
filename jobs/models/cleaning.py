"""The earlier name of `jobs.models.clipping`, under which older versions have stored its step."""

from jobs.models.clipping import Clip

__all__ = ["Clip"]
