"""Targets and source data: one ``datasets.DatasetDict`` each, whatever its origin.

Every data set has the splits ``train`` and ``test`` with a column ``label`` (a ``ClassLabel``)
and a column ``image`` or ``text``; scenes have an ``image`` and a ``mask``, and their ``label``
lists the classes in the mask. A split becomes :class:`~hastelib.data.images.Batches` for a network.
"""
