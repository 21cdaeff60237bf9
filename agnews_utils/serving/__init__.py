"""Chapter deployment: a trained model outside of the notebook.

`export` turns a saved run into a folder that needs no torch, `exported` reads such a folder.
Nothing is shown here, so that `agnews_utils.serving.exported` is imported without torch.
"""
