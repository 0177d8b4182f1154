"""Datasette's command line with the toy model installed; its first argument says which one."""

if __name__ == "__main__":
    import json
    import os
    import sys

    from datasette.cli import cli
    from datasette.plugins import pm
    from toy_model import ToyModel

    from datasette_faces.library.ingest import run

    model = ToyModel(**json.loads(sys.argv.pop(1)))
    pm.register(model.as_plugin())
    run.BATCH_PHOTOS = int(os.environ.get("BATCH_PHOTOS", run.BATCH_PHOTOS))
    cli()
