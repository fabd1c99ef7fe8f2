"""Columns of Arrow tables as arrays, whichever way their writer stored vectors."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from robo_al.errors import UserError


def vectors(table: Any, name: str, where: str) -> Float[np.ndarray, "rows size"]:
    """Return a column of vectors; one of numbers is taken for vectors of one component.

    Args:
        table: a `pyarrow.Table`.
        name: of the column.
        where: the file or folder, for messages.

    Raises:
        UserError: the column is missing, holds no numbers, or vectors of unequal lengths.
    """
    if name not in table.column_names:
        raise UserError(f"{where}: no column {name!r}; there are {', '.join(table.column_names)}")
    column = table[name].combine_chunks()
    size = 1
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) > 1 or None in lengths:
            raise UserError(f"{where}: vectors of {name!r} have unequal lengths: {lengths}")
        size = lengths[0] if lengths else 1
        column = column.flatten()
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise UserError(f"{where}: column {name!r} holds {kind}; numbers or vectors are needed")
    values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    matrix: np.ndarray = values.reshape(-1, size)
    return matrix
