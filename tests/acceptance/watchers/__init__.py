"""``make watchers``: a thousand watchers of streams in one loop, as in one triggerer: CPU of a probe, and memory of each.

They are measured beside another checkout of the package (``--against``), or beside bare pollers that read the same playlists.
"""
