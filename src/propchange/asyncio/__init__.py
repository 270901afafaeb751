"""The runtime on asyncio, and the objects of programs."""
