"""The name under which versions that were trained before `jobs.models.clipping` was called so know its step."""

from jobs.models.clipping import Clip

__all__ = ["Clip"]
