"""Draws molecules, embeds them in threads, and searches with Python functions."""

from concurrent.futures import ThreadPoolExecutor

from rdkit import Chem
from rdkit.Chem import AllChem, rdFMCS, rdSubstructLibrary
from rdkit.Chem.Draw import rdMolDraw2D

smiles = ("CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CCO", "c1ccc2ccccc2c1")
molecules = [Chem.MolFromSmiles(each) for each in smiles]


def draw(molecule):
    drawing = rdMolDraw2D.MolDraw2DSVG(200, 200)
    drawing.DrawMolecule(molecule)
    drawing.FinishDrawing()
    picture = rdMolDraw2D.MolDraw2DCairo(200, 200)
    picture.DrawMolecule(molecule)
    picture.FinishDrawing()
    return drawing.GetDrawingText().count("<path"), picture.GetDrawingText()[1:4]


def embed(molecule):
    molecule = Chem.AddHs(molecule)
    found = AllChem.EmbedMultipleConfs(molecule, 8, randomSeed=1, numThreads=4)
    return len(list(found)), len(AllChem.MMFFOptimizeMoleculeConfs(molecule, numThreads=4))


with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(draw, molecules)), list(pool.map(embed, molecules)))

library = rdSubstructLibrary.SubstructLibrary()
for each in molecules * 50:
    library.AddMol(each)
print(len(library.GetMatches(Chem.MolFromSmarts("c1ccccc1"), numThreads=4, maxResults=500)))

parameters, matches = Chem.SubstructMatchParameters(), []
parameters.setExtraFinalCheck(lambda molecule, match: matches.append(list(match)) or True)
print(molecules[0].GetSubstructMatches(Chem.MolFromSmarts("C=O"), parameters), matches)


class Progress(rdFMCS.MCSProgress):
    calls = 0

    def __call__(self, state, parameters):
        Progress.calls += 1
        return True


options = rdFMCS.MCSParameters()
options.ProgressCallback = Progress()
print(rdFMCS.FindMCS(molecules[:2], options).smartsString, Progress.calls > 0)
