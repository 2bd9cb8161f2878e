"""Rehearsal: history lived through again under a policy, by the schedule's own decisions, in a lake of its own."""
