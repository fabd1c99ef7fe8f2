"""Ranges of parameters, as annotations of constructors.

A configuration's parameters are checked against them before the constructor is called: see
`robo_al.config.components`. The upper ends are where a computer's memory ends, not where sense
does.
"""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""How many, or a size."""
Width = Annotated[int, Field(ge=1, le=10_000)]
"""A size whose square, or product with others, has to fit into the memory."""
Threads = Annotated[int, Field(ge=0, le=10_000)]
"""How many; 0 for one a core."""
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Factor = Annotated[float, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
