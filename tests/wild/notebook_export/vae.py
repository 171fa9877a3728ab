# In[1]:
!pip install tqdm
%matplotlib inline
import sys
